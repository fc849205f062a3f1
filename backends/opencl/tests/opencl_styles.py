"""The styles of captured steps: every kind of device, and every size of step, on the one device that is there."""

from dataclasses import replace

from pycrograd_opencl.compiled.settings import usual

STYLES = {  # the kind of device, and what differs from its usual settings
    "one work-item": ("CPU", {"whole": True}),
    "little code": ("CPU", {"whole": True, "lanes": 4, "registers": 2}),
    "launches": ("CPU", {"whole": False}),
    "many cores": ("CPU", {"whole": False, "busy": 0.0}),
    "one group": ("discrete GPU", {"whole": True}),
    "kernels of their own": ("discrete GPU", {"whole": False}),
}


def styled(monkeypatch, device, style, **changes):
    """A device in a style, for which all programs are compiled in that style."""
    kind, settings = STYLES[style]
    units = 16 if style == "many cores" else device.units
    made = replace(device, kind=kind, lanes=device.lanes if kind == "CPU" else 1, units=units, largest_group=64)
    suited = replace(usual(made), **settings, **changes)
    monkeypatch.setattr("pycrograd_opencl.compiled.settings.suited", lambda program, device: suited)
    return made
