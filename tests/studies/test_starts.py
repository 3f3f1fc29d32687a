"""Starts of a study: refused before any work begins, and as they were when it began."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from oracles.small_plan import FAST, small_plan

import brainssl
from brainssl.data.dataset import Data
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.foundation.storage import write_json
from brainssl.hardware.speed import Speed
from brainssl.models.encoder import Encoder, build_encoder, save_encoder
from brainssl.models.sources import find_source, lies_at
from brainssl.settings import load_settings
from brainssl.settings.starts import NamedStart
from brainssl.studies.estimate import Estimate, estimate
from brainssl.studies.grid import grid
from brainssl.studies.identity import identity
from brainssl.studies.plan import Plan
from brainssl.studies.preparation import prepared
from brainssl.studies.run import Study
from brainssl.studies.starts import (
    carried,
    digests_of,
    keep_digests,
    keep_downloaded,
    read_starts,
    refuse_changed,
    warnings_of,
)

QUIET = Terminal(quiet=True)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "rad net.safetensors"
    file.write_bytes(b"weights")
    return file


@pytest.fixture
def plan(shared_store: ImageStore, weights: Path) -> Plan:
    return small_plan(shared_store.path, FAST, starts=("random", str(weights)))


def begin(plan: Plan, out: Path, *names: str) -> None:
    """Leave what a study leaves that has finished these steps."""
    write_json(out / "study.json", identity(plan))
    keep_digests(plan, out)
    for name in names:
        (out / "steps" / name).mkdir(parents=True)


def test_starts_are_read_as_they_stand(weights: Path) -> None:
    wanted = ("random", "imagenet", str(weights))
    assert read_starts(["random", " imagenet", str(weights)]) == wanted
    assert read_starts(["hub:owner/name"]) == ("hub:owner/name",)


def test_the_same_weights_twice_are_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    link, roundabout = tmp_path / "link.safetensors", tmp_path / "x" / ".." / weights.name
    link.symlink_to(weights)
    for twice in (["random", "random "], ["imagenet", "random", "imagenet"]):
        with pytest.raises(BadUseError, match=f"{twice[0]}: the same weights twice, leave out one"):
            read_starts(twice)
    for other in (link, roundabout, weights):
        with pytest.raises(BadUseError, match="the same weights twice") as raised:
            read_starts([str(weights), "random", str(other)])
        assert str(other) in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("asked", ["imagenett", "", "hub:", "missing/file.safetensors"])
def test_what_is_no_start_is_refused_in_one_line(
    asked: str, shared_store: ImageStore, tmp_path: Path
) -> None:
    with pytest.raises(BadUseError, match="--starts") as raised:
        brainssl.study(shared_store.path, tmp_path / "out", starts=["random", asked])
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_two_starts_of_one_name_are_refused(weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "rad_net.pth"
    other.parent.mkdir()
    shutil.copy(weights, other)
    with pytest.raises(BadUseError, match="both be called"):
        read_starts([str(weights), str(other)])
    named = tmp_path / "ImageNet.pth"
    shutil.copy(weights, named)
    with pytest.raises(BadUseError, match="rename the file"):
        read_starts([str(named)])


def test_a_start_of_the_settings_has_its_name_alone(weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / weights.name
    other.parent.mkdir()
    shutil.copy(weights, other)
    assert read_starts([str(weights)], str(weights)) == (str(weights),)
    with pytest.raises(BadUseError, match="both be called rad net"):
        read_starts(["random", str(weights)], str(other))


def test_a_folder_names_what_all_call_alike() -> None:
    """Every pretraining leaves an `encoder.safetensors`."""
    files = [f"{folder}/encoder.safetensors" for folder in ("a", "b")]
    assert [NamedStart(file).mark for file in files] == ["-from-a", "-from-b"]


def test_digests_are_of_the_content(plan: Plan, weights: Path, tmp_path: Path) -> None:
    assert digests_of(plan) == {"rad net": hashlib.sha256(b"weights").hexdigest()}
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    shutil.copy(weights, folder / "inner" / "a.bin")
    whole = digests_of(replace(plan, starts=(str(folder),)))
    (folder / ".hidden").write_bytes(b"litter")
    assert digests_of(replace(plan, starts=(str(folder),))) == whole
    (folder / "inner" / "a.bin").rename(folder / "inner" / "b.bin")
    assert digests_of(replace(plan, starts=(str(folder),))) != whole


def test_a_changed_file_is_refused_once_steps_began_with_it(
    plan: Plan, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    begin(plan, out, "linear-untrained-grouped-f1-s0")
    weights.write_bytes(b"others")
    refuse_changed(plan, out)  # no step began with it
    (out / "steps" / ".pretrain-simclr-from-rad_net-grouped-s0.partial").mkdir()
    for refuse in (
        lambda: refuse_changed(plan, out),
        lambda: estimate(plan, out),
        lambda: prepared(plan, out, QUIET).__enter__(),
    ):
        with pytest.raises(BrainsslError, match="not the file that steps"):
            refuse()
    weights.write_bytes(b"weights")
    refuse_changed(plan, out)
    refuse_changed(replace(plan, starts=("random",)), out)


def test_a_file_of_the_settings_is_watched_too(plan: Plan, weights: Path, tmp_path: Path) -> None:
    own = replace(plan, settings=plan.settings.with_weights(str(weights)), starts=(str(weights),))
    out = tmp_path / "out"
    begin(own, out, "linear-untrained-grouped-f1-s0")
    weights.write_bytes(b"others")
    with pytest.raises(BrainsslError, match="not the file that steps"):
        refuse_changed(own, out)


@pytest.mark.parametrize(
    ("weights", "mend"), [("hub:owner/name", "@REVISION"), ("imagenet", r"encoder\.name")]
)
def test_downloaded_weights_that_were_revised_are_refused(
    weights: str, mend: str, plan: Plan, tmp_path: Path
) -> None:
    def downloaded(content: str) -> dict[NamedStart, Encoder]:
        encoder = build_encoder("test_resnet", image_size=32, seed=0)
        encoder.start = replace(encoder.start, content=content)
        return {NamedStart(weights): encoder}

    own, out = replace(plan, starts=("random", weights)), tmp_path / "out"
    begin(own, out, "linear-untrained-grouped-f1-s0")
    keep_downloaded(own, out, downloaded("before"))
    keep_downloaded(own, out, downloaded("now"))  # no step began with it
    (out / "steps" / f"linear-untrained{NamedStart(weights).mark}-grouped-f1-s0").mkdir()
    keep_downloaded(own, out, downloaded("now"))
    with pytest.raises(BrainsslError, match=f"gives other weights .*{mend}"):
        keep_downloaded(own, out, downloaded("later"))


def test_a_missing_file_is_refused_before_anything_is_written(
    plan: Plan, weights: Path, tmp_path: Path
) -> None:
    weights.unlink()
    with (
        pytest.raises(BrainsslError, match="cannot be read"),
        prepared(plan, tmp_path / "out", QUIET),
    ):
        pass
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"split_digest": "another"}, "another split"),
        ({"label_fraction": 1.0}, r"--label-fraction 0\.5"),
    ],
)
def test_a_start_with_which_steps_would_fail_is_refused_before_any_begins(
    facts: dict[str, object], told: str, shared_store: ImageStore, tmp_path: Path
) -> None:
    split = make_split(shared_store.manifest, **load_settings("quick", FAST)[0].split.model_dump())
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    own = Data(shared_store, split).facts() | {"method": "supervised", "seed": 0}
    encoder.facts = own | facts
    file = tmp_path / "start.safetensors"
    save_encoder(encoder, file)
    plan = small_plan(
        shared_store.path,
        FAST,
        starts=("random", str(file)),
        methods=(),
        label_fractions=(0.5, 1.0),
    )
    with pytest.raises(BrainsslError, match=told):
        Study(plan, tmp_path / "out", QUIET).run()
    assert not (tmp_path / "out" / "steps").exists()


def test_a_dry_run_opens_the_starts_that_are_files_and_fetches_none(
    shared_store: ImageStore, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be fetched here: who tries fails."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    good, other = tmp_path / "good.safetensors", tmp_path / "other.safetensors"
    save_encoder(build_encoder("test_resnet", image_size=32, seed=0), good)
    save_encoder(build_encoder("test_vit", image_size=32, seed=0), other)
    out = tmp_path / "out"

    def dry_run(*starts: str) -> Estimate:
        plan = small_plan(shared_store.path, FAST, starts=starts)
        return estimate(plan, out, measure=lambda settings, jobs: Speed(1.0, 1.0, 1.0))

    found = dry_run("random", str(good), "imagenet", "hub:owner/name")
    assert found.facts()["fetched"] == ["the imagenet weights of test_resnet", "hub:owner/name"]
    assert "weights of test_resnet, hub:owner/name.\n" in found.text()
    assert "Fetched" not in dry_run("random", str(good)).text()
    for file, told in ((weights, "no safetensors file"), (other, r"set encoder\.name to test_vit")):
        with pytest.raises(BrainsslError, match=told):
            dry_run("random", str(file))
    with pytest.raises(BrainsslError, match="cannot be read"):
        dry_run(str(tmp_path / "missing.pth"))
    assert not out.exists()


def test_models_of_ours_are_warned_of() -> None:
    fresh, trained = (build_encoder("test_resnet", image_size=32, seed=0) for _ in range(2))
    trained.facts = {"method": "simclr", "store": "of another hospital"}
    encoders = {NamedStart("random"): fresh, NamedStart("a/ours.safetensors"): trained}
    [told] = warnings_of(encoders)
    assert "ours, which brainssl trained, without marks" in told
    [told] = warnings_of({NamedStart("random"): fresh, NamedStart("a/net.pth"): fresh})
    assert told.startswith("Encoders began with net, weights from elsewhere: ")


def test_a_study_keeps_what_it_once_began_with(plan: Plan, weights: Path, tmp_path: Path) -> None:
    """A run with fewer starts forgets none, and the study stays the same one."""
    out = tmp_path / "out"
    begin(plan, out, *(step.name for step in grid(plan)))
    few = replace(plan, starts=("random",))
    assert identity(few) == identity(plan)
    with prepared(few, out, QUIET):
        pass
    weights.write_bytes(b"others")
    with pytest.raises(BrainsslError, match="not the file that steps"):
        refuse_changed(plan, out)


def test_weights_that_are_sent_along_keep_their_names(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that says nothing it is that of its folder, also where its path does not say it."""
    home = tmp_path / "hospital"
    home.mkdir()
    (home / "model.safetensors").write_bytes(b"own")
    monkeypatch.chdir(home)
    settings = plan.settings.with_weights("./model.safetensors")
    plan = replace(plan, settings=settings, starts=(*plan.starts, "./model.safetensors"))
    sent = carried(plan)
    assert sent.keys() == {"./model.safetensors", str(tmp_path / "rad net.safetensors")}
    place, path = sent["./model.safetensors"]
    assert place.endswith("/hospital/model.safetensors")
    assert ".." not in place
    assert path == home / "model.safetensors"
    assert NamedStart(place).name == plan.own_start.name == "hospital"


def test_a_start_is_opened_where_it_was_sent_to(tmp_path: Path) -> None:
    """And is called what it was called: what is written of it is the same on all machines."""
    there = tmp_path / "weights" / "0" / "hospital"
    save_encoder(build_encoder("test_resnet", image_size=32, seed=1), there / "model.safetensors")
    lies_at("../hospital/model.safetensors", there / "model.safetensors")
    found = find_source("../hospital/model.safetensors", "test_resnet")
    assert found.title == find_source(str(there / "model.safetensors"), "test_resnet").title
