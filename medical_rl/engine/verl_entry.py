"""The `verl.plugins` entry point: registers our reward manager once verl's managers are imported.

Every process that imports verl loads its entry points, and the managers take seconds to import; so
nothing is imported here, and a finder waits for verl to ask for them.
"""

import importlib
import importlib.abc
import importlib.util
import sys

MANAGERS = "verl.experimental.reward_loop.reward_manager"
OURS = "medical_rl.engine.verl.reward_manager"


class _AfterManagers(importlib.abc.MetaPathFinder):
    """Finds nothing itself; lets verl's package of managers be found, and imports ours right after it."""

    def find_spec(self, name, path=None, target=None):
        if name != MANAGERS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_import_ours(module):
            execute(module)
            importlib.import_module(OURS)

        spec.loader.exec_module = execute_and_import_ours
        return spec


if MANAGERS in sys.modules:
    importlib.import_module(OURS)
else:
    sys.meta_path.insert(0, _AfterManagers())
