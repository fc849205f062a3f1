"""Kills a run with SIGKILL at its steps and its dealings with the disk, at each or at some of them, and resumes it.

Run as a program in a folder with a configuration; its argument is how many of these to draw, 0 for each. Prints JSON.
Children are forked before any backend is loaded, which costs milliseconds where a new process costs a second.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import safetensors.numpy  # noqa: F401  so that it is there before the first fork

from pycrograd_core.config import load_config
from pycrograd_core.training import TrainingRun, registries, trainer
from pycrograd_core.training.trainer import Trainer

OUT = Path("run")


def train(config, resume, dies_at=None):
    """Train in a child process, which kills itself at the given event. Returns how many events there were."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            events = len(pipe.read())
        _, status = os.waitpid(child, 0)
        if status not in ((0,) if dies_at is None else (0, signal.SIGKILL)):
            sys.exit(f"unexpected status {status} after {events} events, resume={resume}")
        return events
    code = 1
    try:
        left = dies_at

        def counted(function):
            def call(*arguments, **options):
                nonlocal left
                os.write(writer, b".")
                if left is not None:
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        os.fsync, Path.open, Path.replace = counted(os.fsync), counted(Path.open), counted(Path.replace)
        Path.unlink, Trainer._advance = counted(Path.unlink), counted(Trainer._advance)
        trainer.READ_EVERY = -1  # one step between two readings
        TrainingRun(config, out=OUT, resume=resume).execute()
        code = 0
    finally:
        os._exit(code)


def outcome():
    records = [json.loads(line) for line in (OUT / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        del record["seconds"]
    model = hashlib.sha256((OUT / "model.safetensors").read_bytes()).hexdigest()
    hidden = [str(path) for path in OUT.rglob(".*")]
    return {"metrics": records, "model": model, "hidden": hidden}


def main(some):
    rng = random.Random(0)
    config = load_config("tiny.yaml", registries())
    events = train(config, resume=False)
    results = {"events": events, "whole": outcome(), "killed": {}}
    for event in rng.sample(range(events), some or events):
        shutil.rmtree(OUT)
        train(config, resume=False, dies_at=event)
        begun = (OUT / "config.yaml").exists()
        if begun and rng.random() < 0.5:  # a second time, while it goes on
            train(config, resume=True, dies_at=rng.randrange(events))
        train(config, resume=begun)
        results["killed"][event] = outcome()
    print(json.dumps(results))


main(int(sys.argv[1]))
