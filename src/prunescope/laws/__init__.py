"""How error depends on density, depth, width and data: forms, fits, uncertainty, sensitivity. numpy alone."""

from prunescope.laws.estimator import Estimator as Estimator
from prunescope.laws.estimator import NotFittedError as NotFittedError
from prunescope.laws.estimator import load_law as load_law
from prunescope.laws.estimators import DenseLaw as DenseLaw
from prunescope.laws.estimators import JointLaw as JointLaw
from prunescope.laws.estimators import SingleLaw as SingleLaw
from prunescope.laws.filters import FILTERS as FILTERS
from prunescope.laws.filters import better_than_chance as better_than_chance
from prunescope.laws.filters import connected as connected
from prunescope.laws.filters import not_overly_large as not_overly_large
from prunescope.laws.forms import PARAMETERS as PARAMETERS
from prunescope.laws.forms import Gradient as Gradient
from prunescope.laws.forms import Parameter as Parameter
from prunescope.laws.forms import adapted_error as adapted_error
from prunescope.laws.forms import dense_error as dense_error
from prunescope.laws.forms import invariant as invariant
from prunescope.laws.forms import joint_error as joint_error
from prunescope.laws.forms import log_gradient as log_gradient
from prunescope.laws.forms import single_error as single_error
from prunescope.laws.forms import size_for_error as size_for_error
from prunescope.laws.predict import Prediction as Prediction
from prunescope.laws.results import Convergence as Convergence
from prunescope.laws.results import Fit as Fit
from prunescope.laws.results import RefusedFit as RefusedFit
from prunescope.laws.results import Region as Region
