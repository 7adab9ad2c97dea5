"""Time as a fact: without it an absent answer would be noticed by nobody. DESIGN section 4."""
