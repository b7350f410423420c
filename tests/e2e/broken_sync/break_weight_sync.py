"""Breaks weight synchronisation on purpose: after start-up the rollouts keep their first weights.

Imported by verl in every process through VERL_USE_EXTERNAL_MODULES; the trainer is patched
when it is imported, because verl itself is only half loaded at this point.
"""

import importlib.abc
import sys

TRAINER = "medical_rl.engine.verl.trainer"


class _PatchTrainer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name != TRAINER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        module.MedicalTrainer.on_step_end = lambda trainer: None


sys.meta_path.insert(0, _PatchTrainer())
