"""The vocabulary of emoji scenes: 256 everyday emoji, twelve colours, three sizes.

The table is curated by hand: one emoji for one thing (a dog face but no second dog),
everyday names first. Standard captions use the name; aliases and the Unicode name are
understood as well.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "gray": (158, 162, 168),
    "black": (24, 24, 28),
    "red": (226, 74, 74),
    "orange": (245, 150, 60),
    "yellow": (250, 224, 96),
    "green": (98, 184, 106),
    "cyan": (112, 214, 220),
    "blue": (74, 122, 220),
    "purple": (150, 96, 200),
    "pink": (246, 170, 200),
    "brown": (142, 98, 66),
}

SIZES: dict[str, int] = {"small": 40, "": 56, "big": 72}
"""Edge of the sprite's box in pixels. All are multiples of eight: see ``data.GRID``."""

# emoji, name, then aliases; a comma between two names, a semicolon between two emoji.
_TABLE = """
😀 grinning face, smiling face; 😂 laughing face, laughter;
😍 face with heart eyes, lovestruck face; 😎 face with sunglasses, cool face;
😢 crying face, sad face; 😡 angry face; 😱 screaming face; 😴 sleeping face, sleepy face;
🤔 thinking face; 🤡 clown; 👻 ghost; 👽 alien; 🤖 robot; 💀 skull; 😈 devil; 🤠 cowboy; 🎃 pumpkin;
😷 face with mask; 😇 angel; 🥳 party face; 👶 baby; 👸 princess; 🎅 santa; 🧙 wizard; 🧚 fairy;
🧜 mermaid; 🧛 vampire;

🐶 dog face, dog, puppy; 🐱 cat face, cat, kitten; 🐭 mouse face, mouse; 🐹 hamster;
🐰 rabbit face, rabbit, bunny; 🦊 fox face, fox; 🐻 bear face, bear; 🐼 panda; 🐨 koala;
🐯 tiger face, tiger; 🦁 lion; 🐮 cow face, cow; 🐷 pig face, pig; 🐸 frog; 🐵 monkey face, monkey;
🐔 chicken, hen; 🐧 penguin; 🐦 bird; 🐤 chick, baby chick; 🦆 duck; 🦅 eagle; 🦉 owl; 🦇 bat; 🐺 wolf;
🐴 horse face, horse; 🦄 unicorn; 🐝 bee; 🐛 caterpillar; 🦋 butterfly; 🐌 snail; 🐞 ladybug; 🐜 ant;
🕷 spider; 🦂 scorpion; 🐢 turtle; 🐍 snake; 🦎 lizard; 🐙 octopus; 🦑 squid; 🦀 crab;
🐠 fish, tropical fish; 🐬 dolphin; 🐳 whale; 🦈 shark; 🐊 crocodile; 🐘 elephant;
🦏 rhinoceros, rhino; 🐪 camel; 🦒 giraffe; 🐑 sheep; 🐐 goat; 🦌 deer; 🐓 rooster; 🦃 turkey;
🦔 hedgehog; 🐿 squirrel, chipmunk; 🐉 dragon; 🦕 dinosaur; 🦚 peacock; 🦜 parrot; 🦢 swan;
🦩 flamingo; 🦞 lobster; 🦓 zebra;

🍎 red apple, apple; 🍏 green apple; 🍐 pear; 🍊 tangerine; 🍋 lemon; 🍌 banana; 🍉 watermelon;
🍇 grapes; 🍓 strawberry; 🍒 cherries, cherry; 🍑 peach; 🍍 pineapple; 🥝 kiwi; 🥥 coconut; 🍅 tomato;
🍆 eggplant; 🥑 avocado; 🥦 broccoli; 🌶 hot pepper; 🌽 corn; 🥕 carrot; 🧅 onion; 🍞 bread;
🥐 croissant; 🧀 cheese; 🥚 egg; 🍳 fried egg; 🥞 pancakes; 🍗 chicken leg; 🍔 hamburger, burger;
🍟 fries, french fries; 🍕 pizza; 🌭 hot dog; 🌮 taco; 🥗 salad; 🍿 popcorn; 🍜 noodles; 🍦 ice cream;
🍩 doughnut, donut; 🍪 cookie; 🎂 birthday cake; 🍰 cake, piece of cake; 🥧 pie; 🍬 candy;
🍭 lollipop; 🍯 honey; 🥛 milk, glass of milk; ☕ coffee, cup of coffee; 🍵 tea, cup of tea;
🍺 beer; 🍷 wine, glass of wine;

🌹 rose; 🌻 sunflower; 🌷 tulip; 🌸 blossom, cherry blossom; 🌵 cactus; 🌲 pine tree; 🌳 tree;
🌴 palm tree; 🍄 mushroom; 🍁 maple leaf; 🍀 clover; ☀ sun; 🌙 moon, crescent moon; ⭐ star;
☁ cloud; 🌧 rain cloud; ⚡ lightning; ❄ snowflake; ⛄ snowman; 🔥 fire;
💧 drop of water, water drop; 🌊 wave; 🌈 rainbow; 🌪 tornado; 🌋 volcano; 🏔 mountain;
🌍 globe, earth; 🪐 planet;

🚗 red car, car; 🚕 taxi; 🚌 bus; 🚓 police car; 🚑 ambulance; 🚒 fire engine; 🚚 truck; 🚜 tractor;
🏎 racing car; 🏍 motorcycle; 🚲 bicycle, bike; 🚂 train, locomotive; ✈ airplane, plane; 🚀 rocket;
🛸 flying saucer; 🚁 helicopter; ⛵ sailboat; 🚢 ship; ⚓ anchor; 🎈 balloon;

🏠 house; 🏰 castle; ⛪ church; 🏭 factory; 🗼 tower; ⛺ tent; 🎡 ferris wheel;

🔨 hammer; 🪓 axe; 🔧 wrench; ✂ scissors; 🔑 key; 🔒 lock; 💡 light bulb; 🕯 candle;
📕 red book, book; ✏ pencil; ✉ envelope, letter; 📦 box, package; 🎁 gift, present; 🏆 trophy;
⚽ soccer ball; 🏀 basketball; 🏈 football; 🎯 target; 🎲 die, dice; 🧩 puzzle piece; 🎸 guitar;
🎻 violin; 🎺 trumpet; 🥁 drum; 🎤 microphone; 📷 camera; 📺 television; 📱 phone;
💻 laptop, computer; ⌚ watch; ⏰ alarm clock; ⌛ hourglass; 🔔 bell; 🔭 telescope; 💎 diamond;
👑 crown; 💍 ring; 👓 glasses; 🎩 top hat, hat; 👕 shirt; 👗 dress; 🧦 socks; 👠 high heel; 👢 boot;
🎒 backpack; ☂ umbrella; 🧸 teddy bear; 🔮 crystal ball; 🪑 chair; 🧹 broom; 🧲 magnet; 💣 bomb;
🛡 shield; 🏹 bow and arrow; 💰 bag of money; ❤ red heart, heart; 🦴 bone; 🪶 feather; ⚙ gear
"""

NEVER_PAIRED = frozenset("🤖 🎃 🐸 🦉 🐢 🐳 🦒 🦩 🍋 🍇 🥕 🍕 🍩 🌵 🌈 🚜 ⛵ 🏰 🎸 🔔".split())
"""Twenty emoji that training never pairs: pairs with them test composition."""


TWELVE = frozenset("🐶 🐱 🍎 🍌 🌹 🌲 🌙 🚗 🚀 🏠 ⚽ 🎁".split())
"""A world that is learned in minutes."""

_LEFT_OUT = frozenset(
    "letter letters flag flags arrow arrows sign squared regional keycap selector digit numbers "
    "number tag component combining fitzpatrick circled triangle square ideograph".split()
)
"""Words in the names of letters, flags, clocks, arrows and signs."""


@dataclass(frozen=True)
class Emoji:
    """One emoji: its character, and its names, the everyday one first."""

    character: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.names[0]


@cache
def everyday() -> tuple[Emoji, ...]:
    """The 256 emoji of the default world, in the table's order."""
    entries = []
    for entry in _TABLE.replace("\n", " ").split(";"):
        character, names = entry.strip().split(" ", 1)
        entries.append(Emoji(character, tuple(name.strip() for name in names.split(","))))
    taken = {name for entry in entries for name in entry.names}
    return tuple(_with_unicode_name(entry, taken) for entry in entries)


def near_words() -> dict[str, list[str]]:
    """Everyday words by the thing of the default world that is nearest to them in meaning.

    No caption has these words. ``near.txt`` has a line for each thing; a word may stand in several.
    """
    lines = (Path(__file__).parent / "near.txt").read_text(encoding="utf-8").splitlines()
    return {name: words.split(", ") for name, words in (line.split(": ") for line in lines)}


def twelve() -> tuple[Emoji, ...]:
    """Twelve of them that are easily told apart."""
    return tuple(entry for entry in everyday() if entry.character in TWELVE)


def whole_font(font: Path) -> tuple[Emoji, ...]:
    """The 256, then all others of the font, by their Unicode names: about 1,200.

    Excluded are letters, flags, clocks, arrows and signs, and duplicate names.
    """
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    entries = list(everyday())
    characters = {entry.character for entry in entries}
    taken = {name for entry in entries for name in entry.names}
    with TTFont(font, lazy=True) as opened:
        drawn = sorted(opened.getBestCmap())
    for code in drawn:
        name = unicodedata.name(chr(code), "").lower().replace("-", " ")
        is_sign = code < 0x203C or "clock face" in name or bool(_LEFT_OUT & set(name.split()))
        if not name or is_sign or chr(code) in characters or name in taken:
            continue
        entries.append(Emoji(chr(code), (name,)))
        taken.add(name)
    return tuple(entries)


def _with_unicode_name(entry: Emoji, taken: set[str]) -> Emoji:
    """Adds the Unicode name as the last alias.

    Left out where another emoji goes by it, or where it names a colour: HEAVY BLACK
    HEART is a red one.
    """
    official = unicodedata.name(entry.character).lower().replace("-", " ")
    if official in taken or any(word in COLOURS for word in official.split()):
        return entry
    return Emoji(entry.character, (*entry.names, official))
