"""Why pruning helped or hurt, example by example, from stored rows and arrays alone. numpy alone; nothing retrains."""

from prunescope.lens.analysis import analyze as analyze
from prunescope.lens.example_pictures import ExamplePictures as ExamplePictures
from prunescope.lens.example_pictures import pictures as pictures
from prunescope.lens.results import CellResult as CellResult
from prunescope.lens.results import Curve as Curve
from prunescope.lens.results import Diagnosis as Diagnosis
from prunescope.lens.results import Effect as Effect
from prunescope.lens.results import LensResult as LensResult
from prunescope.lens.results import Sparsity as Sparsity
from prunescope.lens.results import Spread as Spread
from prunescope.lens.results import TreatmentComparison as TreatmentComparison
from prunescope.lens.results import TreatmentOutcome as TreatmentOutcome
from prunescope.lens.results import Verdict as Verdict
