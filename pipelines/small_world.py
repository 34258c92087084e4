"""How the embedded painters are run where nobody says otherwise: on the page, in evaluations and
in the recipes, which score them so."""

STEPS = 20
GUIDANCE_SCALE = 4.0
SCHEDULER = "DDIM"
