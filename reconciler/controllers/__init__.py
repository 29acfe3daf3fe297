"""
Controllers that come with the library. Each uses the doors of the other rooms only, as any user's controller would.

This room has no code of its own: each controller is a package inside it.
"""

__all__: list[str] = []
