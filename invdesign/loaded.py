"""The experiment file that is loaded, as a module that worker processes import by this name.

Functions defined in an experiment file (custom losses, say) travel to workers by name. Their module must therefore be
importable there: this one runs the file named in the environment, which worker processes inherit. The fixed name also
makes a custom loss the same loss wherever the file lies.
"""

import os as _os
from pathlib import Path as _Path

ENVIRONMENT_VARIABLE = "INVDESIGN_EXPERIMENT"

if ENVIRONMENT_VARIABLE not in _os.environ:
    raise ImportError(
        f"Expected the path of an experiment file in the environment variable {ENVIRONMENT_VARIABLE}. Got none; on "
        "workers of another machine set it, or put what the targets use in an installed module."
    )
__file__ = _os.environ[ENVIRONMENT_VARIABLE]
exec(compile(_Path(__file__).read_bytes(), __file__, "exec", dont_inherit=True), globals())
