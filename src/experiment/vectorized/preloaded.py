"""What processes that train batches are copies of: ``workers``, imported without collecting garbage.

The collector would take a fifth of the time, and would write to memory that the copies share.
"""

import gc

gc.disable()
from experiment.vectorized import workers  # noqa: E402, F401

gc.freeze()
gc.enable()
