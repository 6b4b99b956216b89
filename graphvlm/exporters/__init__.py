"""What people deploy, made from the stages of a graph: a room for each target, none of which knows another.

Beside the rooms stands what they share: the plan of programs, their limits, the programs themselves, and inputs for
them.
"""
