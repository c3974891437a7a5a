"""OPD Studio: on-policy distillation that a domain expert can run, watch and trust."""

__version__ = "0.1.0"
