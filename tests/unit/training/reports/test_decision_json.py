"""The files of a decision: always the same bytes, and what differs from them is named by its place."""

import subprocess
import sys
from datetime import date
from pathlib import Path

from tests.support.training.decided import contest, decided, given
from training.promotion.state import Tenure
from training.reports import decision_json, decision_page

SINCE = Tenure(date(2020, 3, 1))
_BOTH_FILES = """
import hashlib
from datetime import date
from tests.support.training.decided import contest, decided, given
from training.reports import decision_curves, decision_json, decision_page
from training.promotion.state import Tenure

for champion in (None, "forest"):
    rows = contest(400, forest=0.1, logistic=0.3, amf=-0.1)
    made, _ = decided(rows, given(rows, champion=champion, tenure=Tenure(date(2020, 3, 1) if champion else None)))
    print(hashlib.sha256(decision_page.page(made, decision_curves.draw(rows, made))).hexdigest())
    print(hashlib.sha256(decision_json.content(made)).hexdigest())
"""


def test_two_processes_with_other_hash_seeds_make_the_same_bytes() -> None:
    root = Path(decision_page.__file__).parent.parent.parent
    made = [
        subprocess.run(
            [sys.executable, "-c", _BOTH_FILES],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]

    assert made[0] == made[1]
    assert len(set(made[0])) == 4


def test_a_file_ends_with_a_line_and_names_no_clock_and_no_row_of_a_table() -> None:
    rows = contest(100, forest=0.2)
    made, _ = decided(rows, given(rows))

    text = decision_json.content(made).decode()

    assert text.endswith("}\n")
    assert "decided_at" not in text
    assert '"id"' not in text


def test_differences_name_the_place_and_both_values() -> None:
    rows = contest(400, forest=0.1, logistic=0.3)
    kept, _ = decided(rows, given(rows, champion="forest", tenure=SINCE))
    rows.tracks["logistic"].values[399] = 0.0
    made, _ = decided(rows, given(rows, champion="forest", tenure=SINCE))

    told = decision_json.differences(kept, made)

    assert decision_json.differences(kept, kept) == []
    assert told[0].startswith("evidence.comparisons[logistic].challenger_loss: 0.")
    assert not [line for line in told if line.startswith("evidence.comparisons[base]")]
    assert told == sorted(told, key=lambda line: line.startswith("evidence.carried"))
