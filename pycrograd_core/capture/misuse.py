"""What a captured step cannot do, and what to write instead."""

READ = (
    "a value was read (item, numpy, float, bool or print) inside a captured step, where it has no number yet: "
    "return it from the step and read it outside; to branch on a value, use ops.where"
)
KEPT = (
    "a value that was computed in a captured step was kept after it, and has no numbers: return it from the step, "
    "or create a tensor before the first step and assign() to that"
)
NOT_KEPT = (
    "a captured step does not keep the gradients of what it updates, which would cost it the memory and time that it "
    "saves: return them from the step, as in `return loss, [p.grad for p in parameters]`"
)
NO_GRAPH = (
    "a captured step keeps no graph of what it returns: "
    "call backward() inside the step, or do not capture this function"
)
HISTORY = (
    "a tensor that was computed outside, with its history, is used in a captured step, which would have to "
    "differentiate what is not in it: detach() it, or compute it inside the step"
)
HOST_DATA = (
    "a host array enters a captured step, and a replay would use the numbers that it holds now forever: pass it as an "
    "argument of the step, make it a tensor outside, or draw it anew in each step with Tensor.like_drawn"
)
CLOSED_OVER_GRADIENT = (
    "the step uses a gradient both as `.grad` of a parameter and as a tensor that it closes over, which are the same "
    "now and need not be later: keep a copy, or use `.grad`"
)
DRAWN = (
    "a captured step draws random numbers of Python's or NumPy's, and a replay would repeat those of the trace for "
    "ever: draw with Tensor.like_drawn, or pass them as an argument"
)
TOO_LONG = (
    "a captured step uses {what}, which is too long to be watched for changes: make it a tensor outside, or pass it as "
    "an argument"
)
OTHER_THREAD = (
    "a tensor is used while another thread traces a captured step that it is part of: let threads take turns, or call "
    "the step until it is replayed before they start"
)
CHANGES = (
    "the step computed something else when it was called again, though nothing that it is known to depend on had "
    "changed: {difference}. A replay would repeat one of the two forever. Pass what changes as an argument, keep it "
    "in a tensor that the step closes over and assign() to that, or draw it with Tensor.like_drawn"
)
KEEPS_CHANGING = (
    "each of the last {count} calls needed a program of its own: numbers in Python that the step depends on keep "
    "changing (pass them as tensors), or tensors keep being replaced (assign() to them)"
)
