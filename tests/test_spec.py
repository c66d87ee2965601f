"""Specs: defaults, composition, overrides, and what is said about wrong ones."""

from __future__ import annotations

import copy

import pytest

from asdbench.errors import UserError
from asdbench.spec import load_spec, shipped_specs

MINIMAL = """\
name: minimal
dataset: {use: simulated}
detectors:
  ae: {use: dcase_ae, score: mahalanobis}
generators:
  effects: {use: effects}
"""


def test_defaults_are_those_of_the_protocol(write_spec):
    spec = load_spec(write_spec(MINIMAL)).spec
    assert spec.seeds == [0, 1, 2]
    assert spec.test_sets["original"].anomaly == "real"
    assert spec.test_sets["generated"].anomaly == "generated"
    assert spec.statistics.confidence == 0.95


def test_the_resolved_spec_has_every_default_and_loads_again(write_spec):
    resolved = load_spec(write_spec(MINIMAL)).resolved()
    assert resolved["detectors"]["ae"]["score"] == "mahalanobis"
    assert resolved["detectors"]["ae"]["epochs"] == 100
    assert resolved["dataset"]["sample_rate"] == 16000
    assert load_spec(copy.deepcopy(resolved)).resolved() == resolved


def test_extends_merges_mappings_and_replaces_the_rest(write_spec):
    write_spec(MINIMAL, "base.yaml")
    path = write_spec(
        "extends: base.yaml\nname: child\nseeds: [5]\n"
        "detectors:\n  ae: {epochs: 3}\n  knn: {use: logmel_knn}\n"
        "generators: {effects: null, other: {use: real_holdout}}\n"
    )
    loaded = load_spec(path)
    assert loaded.spec.name == "child"
    assert loaded.detectors["ae"].settings()["score"] == "mahalanobis"
    assert loaded.detectors["ae"].settings()["epochs"] == 3
    assert list(loaded.detectors) == ["ae", "knn"]
    assert list(loaded.generators) == ["other"]


def test_another_plugin_replaces_the_settings_of_the_one_before(write_spec):
    write_spec(MINIMAL, "base.yaml")
    loaded = load_spec(write_spec("extends: base.yaml\ndetectors: {ae: {use: logmel_knn, k: 2}}\n"))
    assert loaded.detectors["ae"].settings() == {"k": 2}


def test_a_built_in_spec_can_be_extended_by_name(write_spec):
    loaded = load_spec(write_spec("extends: mimii_gen\nname: mine\nseeds: [7]\n"))
    assert loaded.spec.seeds == [7]
    assert loaded.spec.machines == ["bearing", "fan", "gearbox", "slider", "valve"]


def test_every_built_in_spec_is_valid():
    assert "mimii_gen" in shipped_specs()
    for name in shipped_specs():
        loaded = load_spec(name)
        assert loaded.spec.name == name
        assert loaded.spec.description


def test_overrides_replace_single_values(write_spec):
    path = write_spec(MINIMAL)
    loaded = load_spec(path, ["detectors.ae.epochs=5", "seeds=[1, 2]", "statistics.resamples=500"])
    assert loaded.detectors["ae"].settings()["epochs"] == 5
    assert loaded.spec.seeds == [1, 2]
    assert loaded.spec.statistics.resamples == 500


def with_line(line: str) -> str:
    return MINIMAL + line + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (with_line("sedes: [0]"), [":7: sedes:", "did you mean 'seeds'"]),
        (with_line("seeds: [0, one]"), [":7: seeds.1:", "'one'", "whole number"]),
        (with_line("seeds: 3"), [":7: seeds:", "found 3", "list"]),
        (with_line("seeds: []"), [":7: seeds:", "at least 1"]),
        (with_line("seeds: [1, 1]"), [":7: seeds:", "1 is given twice"]),
        (with_line("seeds: [-1]"), [":7: seeds.0:", "-1", "greater than or equal to 0"]),
        (with_line("seeds: [9223372036854775808]"), [":7: seeds.0:", "9223372036854775808", "less than"]),
        (with_line("holdout: {train: .inf}"), [":7:", "'.inf'", "finite"]),
        (with_line("generated_clips: 99999999999"), [":7: generated_clips:", "less than or equal to 1000000"]),
        (MINIMAL.replace("score: mahalanobis", "epochs: true"), [":4: detectors.ae.epochs:", "True", "a number"]),
        (MINIMAL.replace("{use: simulated}", "{use: simulated, channel: -1}"), [":2: dataset.channel:", "-1", "index"]),
        (
            MINIMAL.replace("{use: simulated}", "{use: simulated, channel: men}"),
            ["dataset.channel:", "'men'", "'mean'"],
        ),
        (MINIMAL.replace("  ae:", "  a.e:"), ["detectors.a.e", "'a.e'", "letters, digits"]),
        (MINIMAL.replace("{use: dcase_ae, score: mahalanobis}", "dcase_ae"), [":4: detectors.ae:", "{use: NAME}"]),
        (with_line("machines: [fan, fan]"), ["given twice"]),
        (with_line("holdout: {nomal: 0.5}"), [":7: holdout.nomal:", "did you mean 'normal'"]),
        (with_line("holdout: {normal: 1.5}"), [":7: holdout.normal:", "1.5", "whole number"]),
        (with_line("holdout: {normal: -1}"), ["holdout.normal", "-1", "greater than or equal to 0"]),
        (with_line("test_sets: {a: {anomly: real}}"), ["test_sets.a.anomly", "did you mean 'anomaly'"]),
        (with_line("test_sets: {a: {anomaly: reel}}"), [":7: test_sets.a.anomaly:", "'reel'", "'real' or 'generated'"]),
        (with_line("metrics: [auk]"), [":7: metrics.0:", "did you mean 'auc'"]),
        (with_line("official: 1999"), [":7: official:", "1999"]),
        (with_line("statistics: {confidence: 95}"), [":7: statistics.confidence:", "95", "less than 1"]),
        (with_line("threshold: {quantile: 90}"), [":7: threshold.quantile:", "90", "less than 1"]),
        (with_line("threshold: {method: median}"), [":7: threshold.method:", "median", "'gamma'"]),
        (with_line("threshold: {quantil: 0.9}"), [":7: threshold.quantil:", "did you mean 'quantile'"]),
        (MINIMAL.replace("use: dcase_ae", "use: dcase_a"), [":4: detectors.ae.use:", "did you mean 'dcase_ae'"]),
        (MINIMAL.replace("use: simulated", "use: simulatd"), [":2: dataset.use:", "did you mean 'simulated'"]),
        (MINIMAL.replace("use: effects", "use: efects"), [":6: generators.effects.use:", "did you mean 'effects'"]),
        (MINIMAL.replace("score:", "scor:"), [":4: detectors.ae.scor:", "did you mean 'score'"]),
        (MINIMAL.replace("mahalanobis", "manhattan"), [":4: detectors.ae.score:", "'manhattan'", "'mahalanobis'"]),
        (MINIMAL.replace("score: mahalanobis", "epochs: many"), [":4: detectors.ae.epochs:", "'many'", "whole number"]),
        (MINIMAL.replace("{use: simulated}", "simulated"), [":2: dataset:", "found 'simulated'"]),
        (MINIMAL.replace("name: minimal\n", ""), ["name: this setting is required"]),
        (MINIMAL.replace("name: minimal", "name: ../up"), [":1: name:", "'../up'"]),
        (MINIMAL.replace("  effects:", "  real:"), ["generators", "'real' stands for the recordings"]),
        (
            MINIMAL.replace("  effects: {use: effects}", "  {}") + "test_sets: {g: {anomaly: generated}}",
            ["no generator"],
        ),
        (with_line("plugins: [nowhere.py]"), ["nowhere.py", "does not exist"]),
        ("extends: nowhere.yaml\nname: x", [":1: extends:", "nowhere.yaml", "there is no file"]),
        ("extends: mimii_gn\nname: x", [":1: extends:", "did you mean 'mimii_gen'"]),
        ("extends: [a]\nname: x", [":1: extends:", "expected the name of one spec"]),
        ("extends: spec.yaml\nname: x", ["extends itself"]),
    ],
)
def test_wrong_specs_are_refused_with_line_and_field(write_spec, text, words):
    path = write_spec(text)
    with pytest.raises(UserError) as error:
        load_spec(path)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value), str(error.value)


def test_an_error_in_an_inherited_value_names_the_file_that_holds_it(write_spec):
    base = write_spec(MINIMAL.replace("score: mahalanobis", "epochs: -1"), "base.yaml")
    with pytest.raises(UserError, match=f"{base}:4: detectors.ae.epochs"):
        load_spec(write_spec("extends: base.yaml\nname: child\n"))


@pytest.mark.parametrize("kept", [True, False])
def test_an_override_of_the_plugin_or_with_null_drops_settings(write_spec, kept):
    override = "detectors.ae.use=dcase_ae" if kept else "detectors.ae.use=logmel_knn"
    loaded = load_spec(write_spec(MINIMAL), [override, "generators.effects=null"])
    assert ("score" in loaded.detectors["ae"].settings()) is kept
    assert loaded.generators == {}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seeds", "expected NAME=VALUE"),
        ("seeds=[1", "--set seeds=[1:1: not valid YAML"),
        ("seeds=2026-13-45", "timestamp"),
        ("name.first=x", "not a mapping"),
        ("detectors.ae.epochs=x", "--set detectors.ae.epochs=x: detectors.ae.epochs: found 'x'"),
        ("sedes=[1]", "did you mean 'seeds'"),
        ("foo.bar=1", "--set foo.bar=1: foo: there is no setting 'foo'"),
        ("extends=x", "extends belongs into a file"),
    ],
)
def test_wrong_overrides_are_refused(write_spec, override, words):
    with pytest.raises(UserError) as error:
        load_spec(write_spec(MINIMAL), [override])
    assert words in str(error.value)


def test_a_spec_that_is_nowhere(tmp_path):
    with pytest.raises(UserError, match="did you mean 'mimii_gen'"):
        load_spec("mimi_gen")
    with pytest.raises(UserError, match="no such file"):
        load_spec(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="only a spec in a file"):
        load_spec({"extends": "mimii_gen"})


def test_published_figures_are_asked_for_by_name(write_spec):
    assert load_spec(write_spec(MINIMAL)).spec.published is None
    assert load_spec(write_spec(MINIMAL + "published: mimii_gen\n")).spec.published == "mimii_gen"
    assert load_spec("mimii_gen").spec.published == "mimii_gen"
    with pytest.raises(UserError, match=r"spec.yaml:7: published: there are no published figures 'mimi_gen'; did you"):
        load_spec(write_spec(MINIMAL + "published: mimi_gen\n"))
