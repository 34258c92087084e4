"""The world of the embedded models: how its painters are run where nobody says otherwise (on the
page, in evaluations, and in the recipes, which score them so), and the article of its things."""

STEPS = 20
GUIDANCE_SCALE = 4.0
SCHEDULER = "DDIM"


def with_article(words: str) -> str:
    """``a fox``, ``an owl``, ``a unicorn``."""
    return f"{'an' if words[0] in 'aeiou' and not words.startswith('uni') else 'a'} {words}"
