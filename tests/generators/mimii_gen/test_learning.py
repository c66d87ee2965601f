from __future__ import annotations

from asdbench.generators.mimii_gen.learning import _severity_words
from asdbench.generators.shared.captions import Description


def test_words_that_also_tell_something_else_are_no_severity() -> None:
    told = [Description("fan", "anomaly", {"spd": "2"}, severity=severity) for severity in (0.2, 0.6, 1.0, 1.4)]
    assert _severity_words(told) == {"barely audible", "slight", "moderate", "severe"}
    normal = Description("fan", "normal", {"load": "Slight"})
    assert _severity_words([*told, normal]) == {"barely audible", "moderate", "severe"}
    leak = Description("fan", "anomaly", fault="audible_leak", severity=1.0)
    assert _severity_words([*told, leak]) == {"slight", "moderate", "severe"}
    assert _severity_words([normal]) == set()
