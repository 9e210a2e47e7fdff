"""Words of the English–German grammar, and the forms that German gives them."""

from dataclasses import dataclass

SLOTS = ("m", "f", "n", "pl")  # gender in the singular; the plural has none
STRONG = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}  # endings by slot
DEFINITE = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem den"}
RELATIVE = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem denen"}


def lookup_form(table: dict[str, str], case: str, slot: str) -> str:
    """The entry of a table of endings or articles."""
    return table[case].split()[SLOTS.index(slot)]


@dataclass(frozen=True)
class Noun:
    """A noun: singular and plural in both languages; a weak one has its plural's form in all cases but one."""

    english: tuple[str, str]
    german: tuple[str, str]
    gender: str
    kind: str
    weak: bool

    def form(self, case: str, plural: bool) -> str:
        if plural:
            word = self.german[1]
            return word + "n" if case == "dat" and not word.endswith("n") else word
        return self.german[self.weak and case != "nom"]


def _nouns(table: str) -> dict[str, Noun]:
    nouns = {}
    for line in table.strip().splitlines():
        english, german, gender, kind = line.split()
        (one, many), (eins, viele) = english.split("/"), german.split("/")
        nouns[one] = Noun((one, many), (eins, viele), gender[0], kind, gender.endswith("*"))
    return nouns


NOUNS = _nouns(  # *: weak
    """
    man/men              Mann/Männer         m   person
    boy/boys             Junge/Jungen        m*  person
    neighbour/neighbours Nachbar/Nachbarn    m*  person
    woman/women          Frau/Frauen         f   person
    aunt/aunts           Tante/Tanten        f   person
    child/children       Kind/Kinder         n   person
    girl/girls           Mädchen/Mädchen     n   person
    dog/dogs             Hund/Hunde          m   animal
    cat/cats             Katze/Katzen        f   animal
    horse/horses         Pferd/Pferde        n   animal
    letter/letters       Brief/Briefe        m   thing
    key/keys             Schlüssel/Schlüssel m   thing
    apple/apples         Apfel/Äpfel         m   thing
    flower/flowers       Blume/Blumen        f   thing
    book/books           Buch/Bücher         n   thing
    picture/pictures     Bild/Bilder         n   thing
    garden/gardens       Garten/Gärten       m   place
    tree/trees           Baum/Bäume          m   place
    kitchen/kitchens     Küche/Küchen        f   place
    street/streets       Straße/Straßen      f   place
    house/houses         Haus/Häuser         n   place
    """
)

ADJECTIVES = {  # English → German as a predicate; a final e is no part of the stem
    "old": "alt",
    "young": "jung",
    "small": "klein",
    "big": "groß",
    "beautiful": "schön",
    "tired": "müde",
    "red": "rot",
}
FITTING = {  # kind of noun → adjectives
    "person": ("old", "young", "small", "big", "tired"),
    "animal": ("old", "young", "small", "big", "tired", "beautiful"),
    "thing": ("small", "red", "beautiful"),
    "place": ("old", "small", "big", "beautiful"),
}


def adjective(english: str, case: str, slot: str, strong: bool) -> str:
    """An adjective before its noun.

    It has the strong ending where no determiner shows gender and case (`ein alter Mann`, `zwei alte Männer`), and else
    the weak one: -e in the nominative singular and in the accusative of feminine and neuter, -en otherwise.
    """
    stem = ADJECTIVES[english].removesuffix("e")
    if strong:
        return stem + lookup_form(STRONG, case, slot)
    return stem + ("e" if slot != "pl" and (case == "nom" or (case == "acc" and slot != "m")) else "en")


STEMS = {"this": "dies", "these": "dies", "a": "ein", "my": "mein", "our": "unser", "no": "kein", "many": "viel"}


def determiner(english: str, case: str, slot: str) -> tuple[str, bool]:
    """The German determiner, and whether an adjective after it has the strong ending."""
    if english == "the":
        return lookup_form(DEFINITE, case, slot), False
    if english == "two":
        return "zwei", True
    stem = STEMS[english]
    bare = stem.endswith(("ein", "unser")) and (case, slot) in (("nom", "m"), ("nom", "n"), ("acc", "n"))
    return (stem if bare else stem + lookup_form(STRONG, case, slot)), bare or english == "many"


@dataclass(frozen=True)
class Verb:
    """A verb: `see sees seen`, `sieht sehen gesehen`, and what may stand with it.

    `subjects`, `dative`, `accusative`: kinds of nouns, or nouns, that fit; `phrases`: kinds of prepositional phrases.
    `particle`: what a separable verb leaves at the end of a main clause. `sein`: the perfect is formed with it.
    """

    english: tuple[str, str, str]
    german: tuple[str, str, str]
    subjects: tuple[str, ...]
    dative: tuple[str, ...] = ()
    accusative: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    particle: str = ""
    sein: bool = False

    @property
    def infinitive(self) -> str:
        return self.particle + self.german[1]


def _verb(
    english: str,
    german: str,
    subjects: str,
    dative: str = "",
    accusative: str = "",
    phrases: str = "",
    particle: str = "",
    sein: bool = False,
) -> Verb:
    base, singular, participle = (form.replace("_", " ") for form in english.split())
    finite, infinitive, german_participle = german.split()
    return Verb(
        (base, singular, participle),
        (finite, infinitive, german_participle),
        tuple(subjects.split()),
        tuple(dative.split()),
        tuple(accusative.split()),
        tuple(phrases.split()),
        particle,
        sein,
    )


BE = _verb("be is been", "ist sein gewesen", "person animal thing", phrases="location")
SAY = _verb("say says said", "sagt sagen gesagt", "person")
KNOW = _verb("know knows known", "weiß wissen gewusst", "person")
HOPE = _verb("hope hopes hoped", "hofft hoffen gehofft", "person")
ASK = _verb("ask asks asked", "fragt fragen gefragt", "person")
GO = _verb("go goes gone", "geht gehen gegangen", "person animal", phrases="direction direction company", sein=True)
VERBS = [
    _verb("see sees seen", "sieht sehen gesehen", "person animal", accusative="person animal place picture"),
    _verb(
        "find finds found",
        "findet finden gefunden",
        "person animal",
        accusative="animal thing place",
        phrases="location",
    ),
    _verb("buy buys bought", "kauft kaufen gekauft", "person", accusative="animal thing house", phrases="favour"),
    _verb("read reads read", "liest lesen gelesen", "person", accusative="book letter", phrases="location"),
    _verb("call calls called", "ruft rufen angerufen", "person", accusative="person", particle="an"),
    _verb("invite invites invited", "lädt laden eingeladen", "person", accusative="person", particle="ein"),
    _verb("open opens opened", "macht machen aufgemacht", "person", accusative="book letter", particle="auf"),
    _verb("help helps helped", "hilft helfen geholfen", "person", dative="person animal", phrases="location"),
    _verb("follow follows followed", "folgt folgen gefolgt", "person animal", dative="person animal", sein=True),
    _verb("give gives given", "gibt geben gegeben", "person", dative="person", accusative="thing"),
    _verb("show shows shown", "zeigt zeigen gezeigt", "person", dative="person", accusative="animal thing place"),
    _verb("sleep sleeps slept", "schläft schlafen geschlafen", "person animal", phrases="location"),
    _verb("work works worked", "arbeitet arbeiten gearbeitet", "person", phrases="location company favour"),
    _verb("sing sings sung", "singt singen gesungen", "person", phrases="location company favour"),
    GO,
    GO,  # twice as often: its prepositions have forms of their own
    _verb("wake_up wakes_up woken_up", "wacht wachen aufgewacht", "person animal", particle="auf", sein=True),
]

# tense → English auxiliary, German auxiliary, each for one and for many; wants to: see the clause
AUXILIARIES = {
    "perfect": (("has", "have"), ("hat", "haben")),
    "future": (("will", "will"), ("wird", "werden")),
    "can": (("can", "can"), ("kann", "können")),
    "must": (("must", "must"), ("muss", "müssen")),
    "want": (("wants to", "want to"), ("will", "wollen")),
}

PREPOSITIONS = {
    "in": ("in", "dat"),
    "on": ("auf", "dat"),
    "under": ("unter", "dat"),
    "behind": ("hinter", "dat"),
    "next to": ("neben", "dat"),
    "into": ("in", "acc"),
    "through": ("durch", "acc"),
    "to": ("zu", "dat"),
    "with": ("mit", "dat"),
    "without": ("ohne", "acc"),
    "for": ("für", "acc"),
}
CONTRACTIONS = {"in dem ": "im ", "in das ": "ins ", "zu dem ": "zum ", "zu der ": "zur "}
PHRASES = {  # kind of prepositional phrase → preposition, nouns or kinds that may follow it
    "location": (
        ("in", "garden house kitchen"),
        ("in", "garden house"),
        ("on", "street"),
        ("under", "tree"),
        ("behind", "house tree"),
        ("next to", "tree house"),
    ),
    "direction": (
        ("into", "garden house kitchen"),
        ("into", "garden house"),
        ("through", "garden house street"),
        ("to", "person"),
        ("to", "person"),
    ),
    "company": (("with", "person animal"), ("without", "person animal")),
    "favour": (("for", "person"),),
}

TIMES = {"today": "heute", "tomorrow": "morgen", "now": "jetzt", "in the evening": "am Abend"}
CONJUNCTIONS = {"that": "dass", "whether": "ob", "because": "weil", "if": "wenn", "although": "obwohl"}
QUESTIONS = {"where": "wo", "why": "warum", "when": "wann"}
