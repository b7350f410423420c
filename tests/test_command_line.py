"""The command line: what is refused, in which words, with which exit code; and what is composed."""

import inspect

import hydra.errors
import omegaconf.errors
import pytest
import yaml

from medical_rl.config.compose import compose
from medical_rl.config.hydra_errors import explain


def composed(command, *arguments):
    done = command(*arguments, "--cfg", "job")
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout), done.stdout


def refused(command, *arguments, **options):
    """The message of a command that must end with exit code 2 and no traceback."""
    done = command(*arguments, **options)
    assert done.returncode == 2, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr and "Traceback" not in done.stdout
    return done.stderr


def test_without_arguments_the_help_names_recipes_and_groups(command):
    done = command()
    assert done.returncode == 0
    assert "vrft_aug" in done.stdout and "conf/model" in done.stdout and "qwen2_5_vl_3b" in done.stdout


def test_the_first_line_says_the_scale_and_why(command):
    config, text = composed(command, "conf=vrft_aug", "conf/scale=tiny")
    assert text.splitlines()[0].startswith("# scale: tiny (given); engine: ")
    assert config["conf"]["scale"] == "tiny"


def test_a_host_without_accelerator_gets_the_tiny_scale_on_the_cpu_engine(command):
    done = command("conf=vrft_aug", "--cfg", "job", MEDICAL_RL_DEVICE="cpu")
    assert (
        done.stdout.splitlines()[0]
        == "# scale: tiny (no accelerator is visible); engine: cpu (no accelerator is visible)"
    )


def test_the_paper_scale_has_the_paper_settings_without_a_gpu(command):
    config, _ = composed(command, "conf=vrft_aug", "conf/engine=gpu_node", "conf/scale=paper")
    actor, rollout = config["actor_rollout_ref"]["actor"], config["actor_rollout_ref"]["rollout"]
    assert config["conf"]["model"]["path"] == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert config["conf"]["warm_start"] == {"enabled": False}
    assert config["conf"]["arm"] == "rl" and config["conf"]["stages_of"]["rl"] == [
        "prepare",
        "rl",
        "evaluate",
    ]
    assert config["conf"]["stages"] == "${conf.stages_of.${conf.arm}}"
    assert (rollout["n"], rollout["temperature"]) == (8, 0.9)
    assert (actor["use_kl_loss"], actor["kl_loss_coef"]) == (True, 0.04)
    assert (config["data"]["train_batch_size"], config["trainer"]["total_training_steps"]) == (256, 120)
    assert (actor["optim"]["optimizer"], actor["optim"]["lr"]) == ("AdamW", 1e-6)
    assert config["conf"]["rewards"]["terms"]["outcome"]["weight"] == 0.9
    assert rollout["load_format"] == "auto"


def test_the_outcome_is_mfrs_on_retinamnist_and_accuracy_elsewhere(command):
    for data, outcome in (("retinamnist", "mfrs"), ("bloodmnist", "accuracy")):
        config, text = composed(
            command,
            "conf=vrft_aug",
            "conf/scale=paper",
            "conf/engine=gpu_node",
            f"conf/data={data}",
            "--resolve",
        )
        assert config["conf"]["rewards"]["terms"]["outcome"]["by"] == outcome


@pytest.mark.parametrize(
    "scale", [("conf/scale=tiny", "conf/engine=cpu"), ("conf/scale=paper", "conf/engine=gpu_node")]
)
@pytest.mark.parametrize(
    "algorithm, expected", [("grpo", "grpo"), ("dr_grpo", "grpo"), ("dapo", "grpo"), ("rloo", "rloo")]
)
def test_every_algorithm_is_a_preset_over_verls_own_at_both_scales(command, scale, algorithm, expected):
    config, _ = composed(command, "conf=vrft_aug", *scale, f"conf/algorithm={algorithm}", "--resolve")
    actor = config["actor_rollout_ref"]["actor"]
    assert config["algorithm"]["adv_estimator"] == expected
    assert config["algorithm"]["filter_groups"]["enable"] == (algorithm == "dapo")
    assert actor["use_kl_loss"] == (config["conf"]["scale"] == "paper" and algorithm in ("grpo", "rloo"))
    if algorithm == "dr_grpo":
        assert actor["loss_scale_factor"] == config["data"]["max_response_length"], (
            "a constant, not a batch's longest"
        )


def test_seeds_and_number_formats_reach_every_part(command):
    config, _ = composed(
        command, "conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu", "conf.seed=7", "--resolve"
    )
    parts = config["actor_rollout_ref"]
    seeds = (config["data"]["seed"], parts["rollout"]["seed"], parts["actor"]["fsdp_config"]["seed"])
    assert {*seeds, config["conf"]["data"]["params"]["seed"], config["conf"]["model"]["build"]["seed"]} == {7}
    for part in ("actor", "ref"):
        assert parts[part]["fsdp_config"]["mixed_precision"]["param_dtype"] == "fp32"
    assert parts["rollout"]["dtype"] == "float32"


def test_every_verl_key_can_be_overridden_by_its_own_name_and_lora_by_one(command):
    config, _ = composed(
        command,
        "conf=vrft_aug",
        "conf/scale=tiny",
        "trainer.total_training_steps=7",
        "conf.model.lora_rank=16",
        "--resolve",
    )
    assert config["trainer"]["total_training_steps"] == 7
    assert config["actor_rollout_ref"]["model"]["lora_rank"] == 16
    assert config["actor_rollout_ref"]["model"]["exclude_modules"] == ".*visual.*"


def test_a_misspelt_recipe_is_refused_with_the_recipes(command):
    message = refused(command, "conf=medgr3")
    assert "medgr3" in message and "vrft_aug" in message


def test_no_recipe_is_refused_with_the_recipes(command):
    assert "vrft_aug" in refused(command, "conf/scale=tiny")


def test_a_misspelt_group_choice_is_refused_with_the_choices(command):
    message = refused(command, "conf=vrft_aug", "conf/rewards=vrft_agu")
    assert "vrft_agu" in message and "Did you mean 'vrft_aug'" in message and "vrft_mfrs" in message


def test_a_misspelt_group_is_refused(command):
    assert "conf/rewards" in refused(command, "conf=vrft_aug", "conf/reward=vrft_aug")


def test_a_misspelt_key_is_refused_with_the_nearest(command):
    message = refused(command, "conf=vrft_aug", "conf.seeed=3")
    assert "conf.seeed" in message and "conf.seed" in message
    message = refused(command, "conf=vrft_aug", "trainer.total_trainin_steps=3")
    assert "trainer.total_training_steps" in message


def test_a_misspelt_reward_term_is_refused_with_the_terms(command):
    message = refused(command, "conf=vrft_aug", "+conf.rewards.terms.acuracy.weight=1", "conf.dry_run=true")
    assert "acuracy" in message and "accuracy" in message and "format" in message


def test_a_misspelt_reward_parameter_is_refused(command):
    message = refused(command, "conf=vrft_aug", "+conf.rewards.terms.format.fom=boxed", "conf.dry_run=true")
    assert "fom" in message and "form" in message


def test_a_misspelt_stage_is_refused_with_the_stages(command):
    message = refused(command, "conf=vrft_aug", "conf.stages=[prepare,warmstart]", "conf.dry_run=true")
    assert "warmstart" in message and "warm_start" in message


@pytest.mark.parametrize(
    "override, instead",
    [
        ("custom_reward_function.path=x.py", "reward.custom_reward_function"),
        ("reward_model.enable=true", "reward.reward_model"),
        ("actor_rollout_ref.actor.freeze_vision_tower=true", "conf.model.lora_rank"),
    ],
)
def test_keys_that_verl_ignores_are_refused_with_what_to_write_instead(command, override, instead):
    assert instead in refused(command, "conf=vrft_aug", override, "conf.dry_run=true")


def test_a_launcher_that_is_not_local_needs_scale_and_engine(command):
    message = refused(command, "conf=vrft_aug", "conf/launcher=slurm", "-m")
    assert "conf/scale" in message and "conf/engine" in message and "cpu" in message


def test_a_secret_in_the_configuration_is_refused_and_not_repeated(command):
    message = refused(command, "conf=vrft_aug", "+conf.judge.api_key=sk-canary-1234", "conf.dry_run=true")
    assert "environment" in message and "canary" not in message


def test_a_batch_that_no_mini_batch_divides_is_refused(command):
    message = refused(command, "conf=vrft_aug", "data.train_batch_size=10", "conf.dry_run=true")
    assert "ppo_mini_batch_size" in message


def test_a_sweep_gives_each_job_a_folder_of_its_own_wherever_m_is_written(command, tmp_path):
    sizes = "conf.data.params.sizes={warm_start: 16, train: 20, val: 5, test: 5}"
    done = command(
        "conf=vrft_aug",
        "conf/scale=tiny",
        "conf/engine=cpu",
        "-m",
        "conf.seed=1,2",
        "conf.stages=[prepare]",
        sizes,
        MEDICAL_RL_CACHE=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    found = sorted(p.parent.name for p in (tmp_path / "runs" / "vrft_aug").rglob("manifest.json"))
    assert len(found) == 2 and "conf.seed=1" in found[0] and "conf.seed=2" in found[1]


def test_one_failing_job_of_a_sweep_does_not_stop_the_others_and_is_the_exit_code(command, tmp_path):
    sizes = "conf.data.params.sizes={warm_start: 16, train: 20, val: 5, test: 5}"
    done = command(
        "conf=vrft_aug",
        "conf/scale=tiny",
        "conf/engine=cpu",
        "conf.data.params.task=gradin,grading",
        "conf.stages=[prepare]",
        sizes,
        "-m",
        MEDICAL_RL_CACHE=str(tmp_path),
    )
    assert done.returncode == 2 and "gradin" in done.stderr and "Traceback" not in done.stderr
    assert "✓ prepare" in done.stdout


def test_the_engine_chosen_for_a_node_takes_the_gpus_that_are_there(monkeypatch):
    from medical_rl.config import arguments as cli
    from medical_rl.config import hardware

    monkeypatch.setattr(hardware, "count_gpus", lambda: 4)
    arguments, said = cli.with_default_scale_and_engine(["conf=vrft_aug"])
    assert {"conf/scale=paper", "conf/engine=gpu_node", "conf.engine.ranks=4"} <= set(arguments)
    assert said == "scale: paper (4 GPUs visible); engine: gpu_node (4 GPUs visible)"
    arguments, _ = cli.with_default_scale_and_engine(["conf=vrft_aug", "conf.engine.ranks=2"])
    assert "conf.engine.ranks=4" not in arguments


@pytest.mark.parametrize(
    "setting", ["+conf.judge.api_key=${oc.env:HOME}", "+conf.judge.hf_token=abc", "+conf.token=abc"]
)
def test_a_secret_is_refused_also_through_the_environment_because_it_would_be_written_down(command, setting):
    message = refused(command, "conf=vrft_aug", setting, "conf.dry_run=true")
    assert "looks like a secret" in message and "abc" not in message


def test_ranks_that_do_not_divide_a_batch_are_refused_with_those_that_do(command):
    message = refused(
        command,
        "conf=vrft_aug",
        "conf/scale=tiny",
        "conf/engine=cpu",
        "conf.engine.ranks=3",
        "conf.dry_run=true",
    )
    # 4 prompts x 8 responses = 32
    assert "32 cannot be divided among 3 ranks" in message and "1, 2, 4, 8" in message


RECIPE = ["conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu"]
FILE = hydra.errors.MissingConfigException
MISSING_PATH = "The setting conf.model.path has no value"


def both_sorts_of_error():
    """Hydra's and OmegaConf's errors that are an OSError, ValueError, KeyError, ... too."""
    for module in (hydra.errors, omegaconf.errors):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            others = (OSError, ValueError, LookupError, AttributeError, TypeError)
            if kind.__module__ == module.__name__ and issubclass(kind, others):
                yield pytest.param(kind, id=name)


@pytest.mark.parametrize("kind", list(both_sorts_of_error()))
def test_an_error_that_is_two_things_is_explained_in_one_paragraph(kind):
    error = (
        kind("first line\n    full_key: conf.seed", "conf/data/nope") if kind is FILE else kind("one\n  two")
    )
    paragraph = explain(error, RECIPE)
    assert paragraph and "\n" not in paragraph


@pytest.mark.parametrize("error", [OSError("full"), ValueError("x"), KeyError("x"), RuntimeError("x")])
def test_errors_of_others_are_not_explained_away(error):
    assert explain(error, RECIPE) is None


@pytest.mark.parametrize(
    "overrides, read, kind, expected",
    [
        (["conf/data=nope"], None, FILE, ["conf/data/nope.yaml", "pneumoniamnist", "conf/data=CHOICE"]),
        (["conf/model=custom"], "conf.model.path", ValueError, [MISSING_PATH, "Write conf.model.path=VALUE"]),
        (
            ["+conf.x=${conf.nope}"],
            "conf.x",
            ValueError,
            ["conf.x is taken from conf.nope", "+conf.nope=VALUE"],
        ),
        (["+conf.x=${conf.model.path}", "conf/model=custom"], "conf.x", ValueError, [MISSING_PATH, "conf.x"]),
        (
            ["conf.judge.on_met=pause"],
            None,
            hydra.errors.HydraException,
            ["is called conf.judge.on_budget now"],
        ),
        ([], "conf.seeed", AttributeError, ["conf.seeed", "Did you mean conf.seed"]),
        (
            ["conf.seed=[1"],
            None,
            hydra.errors.OverrideParseException,
            ["'conf.seed=[1'", "KEY=VALUE", "quotes"],
        ),
    ],
)
def test_what_is_asked_what_there_is_and_what_to_write_is_said(overrides, read, kind, expected):
    arguments = RECIPE + overrides
    with pytest.raises((kind, omegaconf.errors.MissingMandatoryValue)) as caught:
        node = compose(arguments)
        for key in read.split("."):
            node = getattr(node, key)
    paragraph = explain(caught.value, arguments)
    assert "\n" not in paragraph
    for words in expected:
        assert words in paragraph


TINY = ("conf=vrft_aug", "conf/scale=tiny", "conf/engine=cpu")


def test_version_and_shell_completion_need_no_recipe(answered):
    code, out, _ = answered("--version")
    assert code == 0 and out.startswith("medical_rl 0") and "verl" in out and "hydra" in out
    code, out, _ = answered("-sc", "install=bash")
    assert code == 0 and "complete " in out


@pytest.mark.parametrize("options", [("--package", "conf.validation"), ("-p", "conf.validation")])
def test_a_package_alone_can_be_printed(answered, options):
    code, out, _ = answered(*TINY, *options, "--cfg", "job")
    assert code == 0 and yaml.safe_load(out) == {"metric": "acc"}


def test_an_option_that_hydra_does_not_have_is_named_with_the_nearest(answered):
    code, _, err = answered(*TINY, "--resolv", "--cfg", "job")
    assert code == 2 and "no option '--resolv'" in err and "'--resolve'" in err
    code, _, err = answered(*TINY, "--cfg")
    assert code == 2 and "--cfg VALUE" in err


@pytest.mark.parametrize(
    "argument, expected",
    [
        ("conf.stages=[prepare,evaluate", ("'conf.stages=[prepare,evaluate'", "Close its brackets")),
        ("conf.run_dir=a=b", ("'conf.run_dir=a=b'", "'conf.run_dir=\"a=b\"'")),
        ("conf.prompt.target=One word (no more)", ("'conf.prompt.target=\"One word (no more)\"'",)),
        ("nonsense", ("'nonsense'", "it has no =", "nonsense=VALUE")),
        ("=3", ("KEY=VALUE",)),
        ("conf.seed=1,2", ("Add -m for a sweep", "conf.seed=[1,2]", 'conf.seed="1,2"')),
        ("conf.data.params={sieze: 3}", ("no setting 'conf.data.params.sieze'", "conf.data.params.sizes")),
    ],
)
def test_an_argument_that_the_grammar_cannot_read_is_named_and_how_to_write_it(answered, argument, expected):
    code, _, err = answered(*TINY, argument, "--cfg", "job")
    assert code == 2 and "Traceback" not in err
    for words in expected:
        assert words in " ".join(err.split())


def test_what_the_advice_says_is_read_as_it_is_meant(answered):
    code, out, _ = answered(*TINY, 'conf.run_dir="a=b"', "-p", "conf.run_dir", "--cfg", "job")
    assert code == 0 and out.splitlines()[-1] == "a=b"


@pytest.mark.parametrize(
    "recipe, chosen, setting",
    [
        ("medgr2", "conf/generator=openai", "conf.generator.service.endpoint.api_key_env"),
        ("medfact_r1", "conf/labeller=openai", "conf.labeller.service.endpoint.api_key_env"),
    ],
)
def test_a_missing_key_is_named_by_its_own_setting(answered, monkeypatch, recipe, chosen, setting):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    scale = ("conf/scale=tiny", "conf/engine=cpu", "conf.dry_run=true")
    code, _, err = answered(f"conf={recipe}", *scale, chosen)
    message = " ".join(err.split())
    assert code == 2 and "OPENAI_API_KEY" in message and f"{setting}=NAME" in message
    assert "conf.judge" not in message and "judge's" not in message
