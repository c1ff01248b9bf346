"""The built-in configurations, one module per model: `get_config(variant="")`.

`vosjax train agame:smoke` finds them by name. The files in the repository's configs/
import them.
"""

NAMES = ("agame", "cosnet", "ris", "rsis", "rvos")
