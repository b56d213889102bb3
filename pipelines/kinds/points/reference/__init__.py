"""The reference of points: what real points score beside each other, and the controls of the gate."""
