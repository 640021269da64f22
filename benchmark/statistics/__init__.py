"""Paired comparisons, ranking, contrasts and planning from a tidy table of trials.

Pure functions of a table with one row per trial; importing this loads NumPy and nothing heavier.
"""

from benchmark.statistics.analysis import analyse
from benchmark.statistics.association import (
    Association,
    CellAssociation,
    Point,
    associate,
    associations,
)
from benchmark.statistics.contrasts import Contrast, ContrastFamily, contrast_families, family_sizes
from benchmark.statistics.early import (
    EarlyTraining,
    EpochsToTarget,
    Race,
    early_training,
    epochs_to_target,
)
from benchmark.statistics.planning import (
    CellPlan,
    PilotPlan,
    Plan,
    Tier,
    plan,
    plan_from_pilot,
)
from benchmark.statistics.results import (
    Analysis,
    Arm,
    Comparison,
    Failures,
    Headline,
    Interval,
    Reason,
    Unranked,
    Variance,
    plain,
)
from benchmark.statistics.table import TableError, validate
from benchmark.statistics.trials import Trials, arrange, split_treatment
from benchmark.statistics.variance import DataOrder, data_order

__all__ = [
    "Analysis",
    "Arm",
    "Association",
    "CellAssociation",
    "CellPlan",
    "Comparison",
    "Contrast",
    "ContrastFamily",
    "DataOrder",
    "EarlyTraining",
    "EpochsToTarget",
    "Failures",
    "Headline",
    "Interval",
    "PilotPlan",
    "Plan",
    "Point",
    "Race",
    "Reason",
    "TableError",
    "Tier",
    "Trials",
    "Unranked",
    "Variance",
    "analyse",
    "arrange",
    "associate",
    "associations",
    "contrast_families",
    "data_order",
    "early_training",
    "epochs_to_target",
    "family_sizes",
    "plain",
    "plan",
    "plan_from_pilot",
    "split_treatment",
    "validate",
]
