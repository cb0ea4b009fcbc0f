"""Why pruning helped or hurt, example by example, from stored rows and arrays alone. numpy alone; nothing retrains."""

from prunescope.lens.analysis import CellResult as CellResult
from prunescope.lens.analysis import LensResult as LensResult
from prunescope.lens.analysis import analyze as analyze
from prunescope.lens.comparisons import TreatmentComparison as TreatmentComparison
from prunescope.lens.diagnose import Diagnosis as Diagnosis
from prunescope.lens.diagnose import Effect as Effect
from prunescope.lens.example_rows import ExamplePictures as ExamplePictures
from prunescope.lens.example_rows import example_scores as example_scores
from prunescope.lens.example_rows import pictures as pictures
from prunescope.lens.label_suspicion import LabelSuspects as LabelSuspects
from prunescope.lens.label_suspicion import Precision as Precision
from prunescope.lens.label_suspicion import Suspect as Suspect
from prunescope.lens.label_suspicion import label_suspicion as label_suspicion
from prunescope.lens.label_suspicion import most_suspicious as most_suspicious
from prunescope.lens.label_suspicion import precision_at as precision_at
from prunescope.lens.missing_inputs import lacking_outcomes as lacking_outcomes
from prunescope.lens.paper_tables import PaperTable as PaperTable
from prunescope.lens.paper_tables import paper_tables as paper_tables
from prunescope.lens.paper_tables import write_tables as write_tables
from prunescope.lens.rung_curves import Curve as Curve
from prunescope.lens.sparsity import Sparsity as Sparsity
from prunescope.lens.verdicts import Power as Power
from prunescope.lens.verdicts import Spread as Spread
from prunescope.lens.verdicts import TreatmentOutcome as TreatmentOutcome
from prunescope.lens.verdicts import Verdict as Verdict
