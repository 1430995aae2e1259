"""Recognises the words by which people stop and restart the messages they get: the whole text is such a word."""

import unicodedata
from collections.abc import Collection
from functools import lru_cache

# The first line is what the United States' rules name (47 CFR 64.1200(a)(10)); after it by language.
DEFAULT_STOP_WORDS = (
    *(
        "STOP",
        "STOPALL",
        "STOP ALL",
        "QUIT",
        "END",
        "REVOKE",
        "OPT OUT",
        "OPTOUT",
        "CANCEL",
        "UNSUBSCRIBE",
    ),
    *("STOPP", "ABMELDEN", "ABBESTELLEN"),  # German, Swedish, Norwegian
    *("ARRET", "ARRETER", "DESABONNER", "DESINSCRIRE"),  # French
    *("BAJA", "ALTO", "DETENER", "CANCELAR"),  # Spanish
    *("PARAR", "SAIR", "REMOVER"),  # Portuguese
    *("BASTA", "CANCELLA", "DISISCRIVI"),  # Italian
    *("AFMELDEN", "STOPPEN", "UITSCHRIJVEN"),  # Dutch
    *("AFMELD", "AVSLUTA", "AVSLUTT", "LOPETA"),  # Danish, Swedish, Norwegian, Finnish
    *(
        "REZYGNUJE",
        "WYPISZ",
        "ODHLASIT",
        "LEIRATKOZAS",
        "DEZABONARE",
    ),  # Polish, Czech, Hungarian, Romanian
    *("IPTAL", "DUR", "RET"),  # Turkish
    *("СТОП", "ОТПИСАТЬСЯ", "ОТПИСКА", "ВІДПИСАТИСЯ"),  # Russian, Bulgarian, Ukrainian
    *("ΣΤΟΠ", "ΔΙΑΚΟΠΗ"),  # Greek
    *("توقف", "إيقاف", "إلغاء"),  # Arabic
    *("הסר", "הסירו"),  # Hebrew
    *("ACHA", "SIMAMA", "SITISHA"),  # Swahili
    *("BERHENTI", "TIGIL"),  # Indonesian, Malay, Filipino
    *("退订", "退訂", "TD"),  # Chinese
    *("停止", "解除", "수신거부"),  # Japanese, Korean
)
DEFAULT_START_WORDS = (
    *("START", "UNSTOP", "OPT IN", "OPTIN", "SUBSCRIBE", "RESUBSCRIBE"),
    *(
        "ANMELDEN",
        "DEMARRER",
        "ALTA",
        "INICIAR",
        "INIZIA",
        "AANMELDEN",
        "STARTA",
        "TILMELD",
        "ALOITA",
    ),
    *(
        "ZAPISZ",
        "BASLAT",
        "СТАРТ",
        "ПОДПИСАТЬСЯ",
        "ΕΝΑΡΞΗ",
        "ابدأ",
        "ANZA",
        "MULAI",
        "订阅",
        "再開",
    ),
)
LONGEST = 100


def folded(text: str) -> str:
    """Return the text without capitals, accents, widths, blanks, and punctuation around it.

    `" Arrêt. "` and `ARRET` are the same; `STOP please` stays a text of two words.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    letters = "".join(one for one in decomposed if unicodedata.category(one) not in ("Mn", "Cf"))
    words = " ".join(letters.casefold().split())
    begin, end = 0, len(words)
    while begin < end and not words[begin].isalnum():
        begin += 1
    while end > begin and not words[end - 1].isalnum():
        end -= 1
    return words[begin:end]


def is_one_of(text: str, words: Collection[str] | None, defaults: tuple[str, ...]) -> bool:
    """Return whether the whole text is one of the words; `None` stands for the defaults."""
    if len(text) > 2 * LONGEST:
        return False
    wanted = _folded_words(defaults if words is None else tuple(words))
    return folded(text) in wanted


@lru_cache(maxsize=1024)
def _folded_words(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(folded, words))
