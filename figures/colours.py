"""The colours of lines, which people without one kind of cone can tell apart as well.

Okabe and Ito's without their yellow, which is faint on white, and two dark ones of Paul Tol's. Any two differ by 16 or
more in CIE Lab, also as seen without one kind of cone (Machado et al. 2009). Of seaborn's "colorblind" palette, which
varies the same colours, no nine differ by more than 11, and its two oranges differ by 13.
"""

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PINK = "#CC79A7"
SKY = "#56B4E9"
ORANGE = "#E69F00"
BLACK = "#000000"
WINE = "#882255"
INDIGO = "#332288"
ALL = (BLUE, VERMILION, GREEN, PINK, SKY, ORANGE, BLACK, WINE, INDIGO)
