"""Who and what the tales are about: kinds of characters with their facts, things, places, names.

The words are those of the emoji world wherever it has the thing, so that what a tale speaks
of can be painted. A tenth of all pairs of a kind and a thing is held out from training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

# kind; classes; what it says; where it lives; legs; colour; what it eats
_KINDS = """
dog; animal voice; woof; in a kennel; 4; brown; bones
cat; animal voice; meow; in a basket by the stove; 4; gray; fish
mouse; animal small voice; squeak; in a hole in the wall; 4; gray; cheese
hamster; animal small; -; in a nest of straw; 4; brown; seeds
rabbit; animal; -; in a burrow; 4; white; carrots
fox; animal voice; yip; in a den; 4; orange; berries
bear; animal voice; growl; in a cave; 4; brown; honey
panda; animal; -; in a bamboo forest; 4; black and white; bamboo
koala; animal; -; in a gum tree; 4; gray; leaves
tiger; animal voice; roar; in the jungle; 4; orange; meat
lion; animal voice; roar; on the grassland; 4; yellow; meat
cow; animal voice; moo; in a barn; 4; brown; grass
pig; animal voice; oink; in a sty; 4; pink; corn
frog; animal small voice; ribbit; by a pond; 4; green; flies
monkey; animal voice; ooh-ooh; in the treetops; 2; brown; bananas
hen; animal bird voice; cluck; in a henhouse; 2; white; grain
penguin; animal bird; -; on the ice; 2; black and white; fish
chick; animal bird small voice; peep; in a nest of straw; 2; yellow; grain
duck; animal bird flies voice; quack; by a pond; 2; white; water plants
eagle; animal bird flies voice; screech; on a high cliff; 2; brown; fish
owl; animal bird flies voice; hoot; in a hollow tree; 2; brown; moths
bat; animal flies; -; in a cave; 2; black; moths
wolf; animal voice; howl; in a den; 4; gray; meat
horse; animal voice; neigh; in a stable; 4; brown; hay
unicorn; animal; -; on a magic meadow; 4; white; clover
bee; animal small flies voice; buzz; in a hive; 6; yellow; nectar
butterfly; animal small flies; -; in a flower garden; 6; orange; nectar
snail; animal small; -; in a shell; 0; brown; leaves
ladybug; animal small flies; -; in a rose bush; 6; red; tiny bugs
ant; animal small; -; in an anthill; 6; black; crumbs
spider; animal small; -; in a web; 8; black; flies
turtle; animal; -; in a shell; 4; green; leaves
snake; animal voice; hiss; in a hole in the ground; 0; green; eggs
lizard; animal small; -; on a warm wall; 4; green; flies
crocodile; animal voice; snap; by a river; 4; green; fish
elephant; animal voice; toot; on the savanna; 4; gray; leaves
rhinoceros; animal; -; on the savanna; 4; gray; grass
camel; animal; -; in the desert; 4; brown; thorns
giraffe; animal; -; on the savanna; 4; yellow; leaves
sheep; animal voice; baa; on a pasture; 4; white; grass
goat; animal voice; meh; on a mountain; 4; white; grass
deer; animal; -; in the woods; 4; brown; leaves
rooster; animal bird voice; cock-a-doodle-doo; in a henhouse; 2; red; grain
turkey; animal bird voice; gobble; on a farmyard; 2; brown; corn
hedgehog; animal small; -; in a pile of leaves; 4; brown; beetles
squirrel; animal small; -; in a hollow tree; 4; red; nuts
dragon; animal magic flies voice; roar; in a cave in the mountains; 4; green; fire peppers
dinosaur; animal voice; stomp; in a big egg; 4; green; leaves
peacock; animal bird; -; in a park; 2; blue; grain
parrot; animal bird flies voice; squawk; in the jungle; 2; red; nuts
swan; animal bird flies; -; on a lake; 2; white; water plants
flamingo; animal bird flies; -; by a lagoon; 2; pink; shrimp
zebra; animal; -; on the savanna; 4; black and white; grass
princess; person; -; in a castle; 2; -; cake
wizard; person magic; -; in a tower; 2; -; mushroom soup
fairy; person magic flies; -; in a tulip; 2; -; dew
clown; person voice; ha-ha; in a circus tent; 2; -; pies
cowboy; person voice; yee-haw; on a ranch; 2; -; beans
robot; person voice; beep; in a workshop; 2; gray; oil
ghost; person voice; boo; in an old house; 0; white; nothing
alien; person; -; on a faraway planet; 2; green; stardust
angel; person magic flies; -; on a cloud; 2; white; sweet bread
"""

# Of the sea: asked about, but heroes of no tale on land.
_SEA = """
octopus; sea; -; in the sea; 8; orange; shellfish
crab; sea voice; click; on the beach; 10; red; seaweed
fish; sea; -; in the sea; 0; orange; water plants
dolphin; sea; -; in the sea; 0; gray; fish
whale; sea; -; in the deep sea; 0; blue; tiny shrimp
shark; sea; -; in the sea; 0; gray; fish
"""

# a thing, then its classes
_THINGS = """
apple: food small; pear: food small; banana: food small; lemon: food small; peach: food small;
strawberry: food small; pineapple: food; coconut: food; tomato: food small; carrot: food garden;
watermelon: food garden; pumpkin: garden heavy; mushroom: food small; onion: food garden;
egg: food small; croissant: food small; pizza: food; taco: food small; doughnut: food small;
cookie: food small; cake: food; pie: food; lollipop: food small; pancake: food;
ball: toy; balloon: plain; teddy bear: toy small; puzzle: toy; drum: toy instrument fragile;
guitar: toy instrument fragile; violin: instrument fragile; trumpet: toy instrument fragile;
car: toy fragile; train: toy fragile; rocket: toy fragile; sailboat: toy fragile;
airplane: toy fragile; truck: toy fragile; hammer: tool; axe: tool; wrench: tool; broom: tool;
magnet: tool small; ladder: tool; key: small shiny; pencil: small; telescope: fragile;
camera: small fragile; hat: wear; crown: wear shiny; ring: small shiny; shirt: wear;
backpack: wear; umbrella: wear; scarf: wear; coat: wear; watch: small shiny fragile;
diamond: small shiny; bell: small shiny instrument; trophy: shiny; crystal ball: shiny fragile;
candle: light small; lantern: light fragile; lamp: light fragile; book: small; letter: small;
box: heavy; chair: heavy fragile; rose: small; sunflower: small; tulip: small; feather: small;
bone: small; shield: heavy; alarm clock: small fragile; phone: small fragile;
television: heavy fragile; bicycle: toy; cactus: plain; star: small shiny; sack of corn: heavy
"""

# place, and how one is there
_PLACES = """
the forest, in; the old mill, at; the beach, on; the pond, by; the market, at; the garden, in;
the castle, at; the hill, on; the cave, in; the river, by; the big oak, under;
the church, behind; the tower, in; the mountain, on; the desert, in; the fair, at; the lake, by;
the meadow, in; the harbor, at; the island, on; the barn, in; the school, at; the library, in;
the well, by; the bridge, under; the valley, in; the attic, in; the village, in; the circus, at;
the farm, on
"""

_NAMES = {
    "she": """Mila Anna Lily Nora Ruby Emma Zoe Clara Rosa Ida Lucy Maya Ella Greta Hazel Ivy June
    Kira Lena Molly Nina Olive Penny Sally Tilly Vera Wanda Yara Betty Dora Fay Gwen""",
    "he": """Tom Ben Max Leo Finn Oscar Sam Hugo Felix Otto Paul Jack Karl Milo Noah Emil Theo Jim
    Peter Rolf Simon Toby Victor Will Bruno Carlo Dan Fred Gus Henry Igor Jonas""",
}
_SYLLABLES = """
    ba bo da di fa fi ga jo ka ki la li lo ma mi mo na ni no pa po ra ri ro sa si ta ti to va vi
    za zu
"""
INVENTED_SHARE = 0.3
"""Of all names: made of syllables, so that names must be copied and cannot be remembered."""


@dataclass(frozen=True)
class Kind:
    """A kind of character. It may have no sound and no colour: ``""``."""

    name: str
    classes: frozenset[str]
    sound: str
    lives: str
    """Where, with its preposition: ``in a den``."""
    legs: int
    colour: str
    eats: str

    @property
    def home(self) -> str:
        """Where it lives, without the preposition: ``a den``."""
        return self.lives.partition(" ")[2]


@dataclass(frozen=True)
class Thing:
    """Something that a character can have."""

    name: str
    classes: frozenset[str]


@dataclass(frozen=True)
class Place:
    """``name`` with its article; ``at`` with its preposition too: ``on the beach``."""

    name: str
    at: str


@dataclass(frozen=True)
class Character:
    """One of a tale's cast: ``pronoun`` is ``"he"`` or ``"she"``."""

    name: str
    kind: Kind
    pronoun: str


def _kinds(table: str) -> tuple[Kind, ...]:
    rows = ([part.strip() for part in line.split(";")] for line in table.strip().splitlines())
    return tuple(
        Kind(
            name, frozenset(classes.split()), _known(sound), lives, int(legs), _known(colour), eats
        )
        for name, classes, sound, lives, legs, colour, eats in rows
    )


def _known(fact: str) -> str:
    return "" if fact == "-" else fact


@cache
def kinds() -> tuple[Kind, ...]:
    """Those that tales are about."""
    return _kinds(_KINDS)


@cache
def all_kinds() -> tuple[Kind, ...]:
    """Those that one can ask about."""
    return kinds() + _kinds(_SEA)


@cache
def things() -> tuple[Thing, ...]:
    """All things, of every class."""
    rows = (entry.strip().split(": ") for entry in _THINGS.replace("\n", " ").split(";"))
    return tuple(Thing(name, frozenset(classes.split())) for name, classes in rows)


@cache
def places() -> tuple[Place, ...]:
    """All places."""
    rows = (entry.strip().split(", ") for entry in _PLACES.replace("\n", " ").split(";"))
    return tuple(Place(name, f"{preposition} {name}") for name, preposition in rows)


def invent_name(rng: np.random.Generator) -> str:
    """Two or three syllables: ``Tiromo``."""
    return "".join(rng.choice(_SYLLABLES.split(), size=rng.integers(2, 4))).capitalize()


def pick_name(rng: np.random.Generator, pronoun: str) -> str:
    """A usual name, or now and then one that was never heard."""
    if rng.random() < INVENTED_SHARE:
        return invent_name(rng)
    return str(rng.choice(_NAMES[pronoun].split()))


def usual_names() -> Mapping[str, list[str]]:
    """The names that are usual, by pronoun."""
    return {pronoun: names.split() for pronoun, names in _NAMES.items()}


def is_held_out(kind: str, thing: str) -> bool:
    """True for a tenth of all pairs of a kind and a thing, the same tenth everywhere."""
    return hashlib.sha256(f"{kind} and {thing}".encode()).digest()[0] < 26
