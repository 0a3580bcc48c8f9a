"""Simulates a changed decoder: where this is on the path of an interpreter, every decoded frame is brighter."""

import importlib.abc
import importlib.machinery
import sys

_CHANGED, _LEVELS = "artifactscan.decode.pixels", 60


class _Brighter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname, path, target=None):
        if fullname != _CHANGED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        self._real, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self._real.create_module(spec)

    def exec_module(self, module):
        self._real.exec_module(module)
        to_rgb = module.to_rgb

        def brighter(*arguments, **named):
            pixels = to_rgb(*arguments, **named)
            return (pixels.astype("int16") + _LEVELS).clip(0, 255).astype("uint8")

        module.to_rgb = brighter


sys.meta_path.insert(0, _Brighter())
