"""The environment of a stage: what verl needs is there, what a user set stays, secrets go nowhere."""

from omegaconf import OmegaConf

from medical_rl.engine.host.environment import names_for_workers, stage_environment

CPU = {"device": "cpu", "threads": 2, "kv_cache_gib": 1}


def test_the_plugin_is_loaded_by_every_verl_process_beside_the_users_own_modules():
    made = stage_environment(CPU, "id", "rl", "/m", base={"VERL_USE_EXTERNAL_MODULES": "mine"})
    assert made["VERL_USE_EXTERNAL_MODULES"] == "mine,medical_rl.engine.verl.plugin"
    again = stage_environment(CPU, "id", "rl", "/m", base=made)
    assert again["VERL_USE_EXTERNAL_MODULES"] == made["VERL_USE_EXTERNAL_MODULES"]


def test_what_the_user_set_is_kept_and_cpu_settings_stay_off_a_gpu():
    assert stage_environment(CPU, "id", "rl", "/m", base={"OMP_NUM_THREADS": "7"})["OMP_NUM_THREADS"] == "7"
    gpu = stage_environment({**CPU, "device": "cuda"}, "id", "rl", "/m", base={})
    assert "VLLM_TARGET_DEVICE" not in gpu and "VERL_ENGINE_DEVICE" not in gpu


def test_no_secret_is_handed_to_ray_whose_settings_verl_prints():
    given = {
        "VLLM_API_KEY": "canary",
        "VERL_AUTH_TOKEN": "canary",
        "MEDICAL_RL_PASSWORD": "canary",
        "WANDB_API_KEY": "canary",
    }
    kept = names_for_workers(
        {**given, "VLLM_TARGET_DEVICE": "cpu", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    )
    assert kept == {"VLLM_TARGET_DEVICE": "cpu", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def test_without_flash_attention_a_gpu_falls_back_to_sdpa_and_says_so(monkeypatch):
    from medical_rl.engine.verl import settings

    engine = OmegaConf.create({"attention": "flash_attention_2", "remove_padding": True})
    monkeypatch.setattr(settings, "flash_attention_works", lambda: False)
    implementation, remove_padding, notes = settings.attention(engine)
    assert (implementation, remove_padding) == ("sdpa", False) and "flash-attn" in notes[0]
    monkeypatch.setattr(settings, "flash_attention_works", lambda: True)
    assert settings.attention(engine) == ("flash_attention_2", True, [])


def test_an_installed_trl_does_not_stop_verls_workers():
    # verl imports a class of TRL that current TRL does not have, in every worker, if it believes TRL is there.
    import subprocess
    import sys

    code = (
        "import medical_rl.engine.verl.plugin, sys\n"
        "from verl.models.transformers import monkey_patch\n"
        "print('BELIEVES', monkey_patch.is_trl_available(), 'trl' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split("BELIEVES")[1].split() == ["False", "False"], done.stderr[-2000:]
