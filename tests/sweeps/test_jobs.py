"""Jobs are composed as Hydra composes them, in less time."""

from collections.abc import Iterator

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from experiment.configuration.overrides import quote_for_hydra, unquote_for_hydra
from experiment.sweeps.jobs import JobComposer
from tests.conftest import ROOT

VARIED = {"optimizer", "seed", "optimizer.lr"}


@pytest.fixture
def composer() -> Iterator[JobComposer]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield JobComposer(loader, loader.load_configuration("config", [], RunMode.MULTIRUN))


def test_jobs_that_differ_in_plain_values_are_composed_once(composer):
    for optimizer in ("sgd", "adam"):
        for seed in range(5):
            assert (
                composer.job([f"optimizer={optimizer}", f"seed={seed}", f"optimizer.lr={seed}"], VARIED).config.seed
                == seed
            )
    assert [*composer.composed] == [("optimizer=sgd",), ("optimizer=adam",)]


@pytest.mark.parametrize(
    "job",
    [
        ["seed=3", "optimizer.lr=0.5", "model.hidden=[8,8]"],
        ["optimizer=adam", "optimizer.lr=0.5", "data.line=[1,2,3]"],
        ["experiment=mini_batches", "trainer.gradient_clip_val=0.5", "data.batch_size=null"],
        ["data.noise=0.5", "~callbacks.decision_boundary"],
        ["+callbacks.stop._target_=a.B", "callbacks.stop.patience=3", "model.activation='tanh'"],
        ["optimizer.betas=[0.1,0.2]", "optimizer=adamw", "seed=1"],
    ],
)
@pytest.mark.parametrize("varied", [set(), VARIED, None])
def test_a_job_is_composed_as_hydra_composes_it(composer, job, varied):
    for overrides in ([], job, job):  # from the start, and from what was composed before
        expected = composer.loader.load_sweep_config(composer.sweep_config, overrides)
        expected = OmegaConf.masked_copy(expected, [key for key in expected if key != "hydra"])
        assert OmegaConf.to_yaml(composer.compose(overrides, varied)) == OmegaConf.to_yaml(expected)


@pytest.mark.parametrize(
    "text", ["a", "optimizer.lr=0.1,seed=3", "it's", "a\\", "${seed}", "", "a b", "é", "'x'", "1e3"]
)
def test_a_value_that_is_quoted_for_hydra_is_unquoted(text):
    assert unquote_for_hydra(quote_for_hydra(text)) == text
