"""
What a phase table is: which moves are allowed, which phases are terminal, why a move is refused, and its diagram.

It does not choose: choosing among the allowed phases is the business of the controller's plan.
"""

from reconciler.phase.table import PhaseTable

__all__ = ["PhaseTable"]
