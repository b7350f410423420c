"""Imported by verl itself in every process (VERL_USE_EXTERNAL_MODULES): prepares verl for this host."""

from medical_rl.engine.host import patches
from medical_rl.engine.host.environment import has_accelerator
from medical_rl.engine.host.versions import check_verl_version

check_verl_version()
if not has_accelerator():
    from verl.plugin.platform import set_platform

    from medical_rl.engine.host.cpu_platform import PlatformCPU

    set_platform(PlatformCPU())
    for patch in patches.CPU_PATCHES:
        patch()
for patch in patches.PATCHES:
    patch()
