"""The default study: its results and time, and the README's picture.

Run from the checkout: python -m benchmarks.study
"""

import json
from pathlib import Path

from ntk_array.study import StudySettings, load_dataset, run_study
from ntk_array.study.pictures import draw

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Write benchmarks/results/study.json and docs/images/predictions.svg."""
    study = run_study(StudySettings(), load_dataset("digits"), progress=True)
    (ROOT / "benchmarks/results/study.json").write_text(json.dumps(study.as_json(), indent=1) + "\n")
    draw("predictions", study).savefig(ROOT / "docs/images/predictions.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
