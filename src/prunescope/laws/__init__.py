"""How error depends on density, depth, width and data. Arrays in, arrays out; numpy alone.

So far the functional forms; fitting them comes next.
"""

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
