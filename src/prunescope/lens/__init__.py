"""Why pruning helped or hurt, example by example, from stored rows and arrays alone. numpy alone; nothing retrains."""

from prunescope.lens.look import look as look
from prunescope.lens.pictures import Pictures as Pictures
from prunescope.lens.pictures import pictures as pictures
from prunescope.lens.results import Beside as Beside
from prunescope.lens.results import CellLook as CellLook
from prunescope.lens.results import Curve as Curve
from prunescope.lens.results import Diagnosis as Diagnosis
from prunescope.lens.results import Effect as Effect
from prunescope.lens.results import Look as Look
from prunescope.lens.results import Outcome as Outcome
from prunescope.lens.results import Sparsity as Sparsity
from prunescope.lens.results import Spread as Spread
from prunescope.lens.results import Verdict as Verdict
