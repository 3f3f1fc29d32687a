"""A preset may say on which split it was chosen; that is no setting."""

from pathlib import Path

import pytest

from brainssl.foundation.errors import BadUseError
from brainssl.settings import load_settings
from brainssl.settings.loading import chosen_on


def test_a_preset_says_on_which_split_it_was_chosen(tmp_path: Path) -> None:
    file = tmp_path / "best.toml"
    told = '[chosen_on]\nprotocol = "grouped"\nseed = 3\ndigest = "abc"\n'
    own = "[pretrain]\nepochs = 7\n"
    file.write_text(own)
    plain = load_settings(str(file))
    assert chosen_on(str(file)) is None
    file.write_text(told + own)
    assert chosen_on(str(file)) == {"protocol": "grouped", "seed": 3, "digest": "abc"}
    assert load_settings(str(file)) == plain
    assert chosen_on("quick") is None
    for wrong in ('chosen_on = "here"', '[chosen_on]\nprotocol = "grouped"'):
        file.write_text(wrong)
        with pytest.raises(BadUseError, match="chosen_on must hold protocol, seed, digest"):
            chosen_on(str(file))
