"""The names of run directories."""

import pytest

from experiment.sweeps.names import directory_name


@pytest.mark.parametrize(
    ("overrides", "varied", "name"),
    [
        (["seed=3", "optimizer.lr=0.1"], set(), "optimizer.lr=0.1,seed=3"),
        (["optimizer.lr=0.10"], set(), "optimizer.lr=0.1"),
        (["optimizer.lr=2"], set(), "optimizer.lr=2"),
        (["optimizer.lr=1e-5"], set(), "optimizer.lr=1.0e-05"),
        (["model.hidden=[8, 8]"], set(), "model.hidden=[8,8]"),
        (["data.batch_size=null", "optimizer=adam"], set(), "data.batch_size=null,optimizer=adam"),
        (["trainer.max_epochs=5", "seed=1"], set(), "seed=1"),
        (["trainer.max_epochs=5", "seed=1"], {"trainer.max_epochs"}, "seed=1,trainer.max_epochs=5"),
        (["trainer.accelerator=cpu", "trainer.devices=2", "seed=1", "hydra.job.chdir=false"], set(), "seed=1"),
        (["trainer.max_epochs=5"], set(), "default"),
        (["+a.b='x/y'"], set(), "a.b=x%2Fy"),
        (["a='100%'"], set(), "a=100%25"),
        ([r"a='it\'s'"], set(), "a=it%27s"),
        (['a="x\\y"'], set(), "a=x%5Cy"),
        (["a='ü λ'"], set(), "a=ü λ"),
        (["a={b:1,c:[x,2]}"], set(), "a={b%3A1,c%3A[x,2]}"),
        (["a='<x>|y?*'"], set(), "a=%3Cx%3E%7Cy%3F%2A"),
        (["a='x\u0085y'"], set(), "a=%27x%C2%85  y%27"),  # YAML takes it for the end of a line
        (["a='x.'"], set(), "a=x%2E"),
        (["a='x. '"], set(), "a=%27x. %27"),  # YAML quotes what ends in a space
        (["a=x.", "b=1"], set(), "a=x.,b=1"),
        (["a='\udcff'"], set(), "a=%22%5CuDCFF%22"),
        (["aux.lr=1"], set(), "%61ux.lr=1"),
        (["COM1.lr=1"], set(), "%43OM1.lr=1"),
        (["con=1"], set(), "con=1"),
        (["auxiliary.lr=1"], set(), "auxiliary.lr=1"),
        (["~a.b"], set(), "~a.b"),
    ],
)
def test_a_directory_is_named_by_its_overrides(overrides, varied, name):
    assert directory_name(overrides, varied) == name


def test_a_long_name_is_cut_and_ends_in_a_hash():
    names = {directory_name([f"a='{'ü' * 300}{end}'"], set()) for end in "xy"}
    assert len(names) == 2
    assert all(190 < len(name.encode()) <= 200 for name in names)
