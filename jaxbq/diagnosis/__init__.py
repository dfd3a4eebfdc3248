"""Why a method's image is what it is: linear algebra, traces, alignments, verdicts."""

from .explain import explain as explain
from .layers import LayerFacts as LayerFacts
from .layers import alignment as alignment
from .layers import layer_facts as layer_facts
from .layers import matched_filter as matched_filter
from .matching import ClassesDisagreeError as ClassesDisagreeError
from .matching import matched as matched
from .matching import open_for as open_for
from .matching import open_mended as open_mended
from .plausibility import Plausibility as Plausibility
from .plausibility import Reading as Reading
from .plausibility import at_chance as at_chance
from .plausibility import most_frequent as most_frequent
from .plausibility import plausibility as plausibility
from .policies import SWEEPS as SWEEPS
from .policies import Fidelity as Fidelity
from .policies import alignments as alignments
from .policies import losses_by_layer as losses_by_layer
from .policies import policy_losses as policy_losses
from .policies import sensitivities as sensitivities
from .policies import sensitivity as sensitivity
from .policies import share_in_range as share_in_range
from .trace import LayerTrace as LayerTrace
from .trace import Trace as Trace
from .trace import to_plain as to_plain
from .trace import trace as trace
