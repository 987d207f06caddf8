"""Pairs of texts and how the second stands to the first, labelled by hand.

The first half was looked at while the rules of likeness were written; the second half was written
at the same time and is only counted. Docs give the figures of the second half:

    python tests/infrastructure/memory/agemem/likeness_pairs.py
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

D, C, N = "duplicate", "contradiction", "neither"
Pair = tuple[str, str, str]

SEEN: Final[Sequence[Pair]] = (
    # the same said again, in these or other words
    (D, "Ada lives in Oslo.", "Ada lives in Oslo"),
    (D, "My favourite colour is teal.", "Teal is my favourite colour."),
    (D, "The meeting is on Friday at 15:00.", "Our meeting is on Friday at 15:00."),
    (D, "Bob works as a nurse in Leeds.", "In Leeds, Bob works as a nurse."),
    (D, "The invoice must be paid by March 3.", "Please pay the invoice by March 3."),
    (D, "I am allergic to peanuts.", "Remember that I am allergic to peanuts."),
    (D, "Noor's sister is called Leila.", "Leila is the name of Noor's sister."),
    (D, "The server runs PostgreSQL 16.", "PostgreSQL 16 runs on the server."),
    (D, "We adopted a puppy named Max last week!", "Last week we adopted a puppy, named Max."),
    (D, "The password policy requires 12 characters.", "Passwords need 12 characters by policy."),
    (D, "Tom plays the cello in an orchestra.", "Tom plays cello in the orchestra."),
    (D, "The bridge project has a budget of 4,200 euros.",
     "The budget of the bridge project is 4,200 euros."),
    # what cannot be true at once, or takes the first back
    (C, "Ada lives in Oslo.", "Ada lives in Paris."),
    (C, "Ada lives in Oslo.", "Ada moved to Paris last month."),
    (C, "My favourite colour is teal.", "My favourite colour is orange."),
    (C, "The meeting is on Friday at 15:00.", "The meeting was moved to Monday at 9:30."),
    (C, "The meeting is on Friday at 15:00.", "The meeting is on Friday at 16:00."),
    (C, "Bob works as a nurse in Leeds.", "Bob doesn't work as a nurse any more."),
    (C, "The budget of the bridge project is 4,200 euros.",
     "The budget of the bridge project is 5,000 euros."),
    (C, "I am vegetarian.", "I'm no longer vegetarian."),
    (C, "Noor's dentist appointment is on Tuesday.", "Noor's dentist appointment was cancelled."),
    (C, "Tom drives a red van.", "Tom now drives a blue van."),
    (C, "The API key is stored in the vault.", "The API key is not stored in the vault."),
    (C, "Leila's phone number is 555-0134.", "Leila's phone number changed to 555-0199."),
    (C, "We use Python 3.11 for the service.", "We switched to Python 3.12 for the service."),
    (C, "The deadline is March 3.", "The deadline is March 10."),
    (C, "Max is a beagle.", "Max is actually a labrador."),
    (C, "The launch is planned for June.", "The launch is planned for September."),
    # neither: other subjects, other attributes, more of the same kind, or nothing in common
    (N, "Ada lives in Oslo.", "Bob lives in Oslo."),
    (N, "Ada lives in Oslo.", "Ada works in Bergen."),
    (N, "Ada lives in Oslo.", "Ada visited Paris in May."),
    (N, "My favourite colour is teal.", "My favourite food is lasagne."),
    (N, "The meeting is on Friday at 15:00.", "The party is on Saturday at 20:00."),
    (N, "I like tea.", "I like coffee."),
    (N, "Tom plays the cello.", "Tom plays tennis."),
    (N, "Bob works as a nurse in Leeds.", "Bob has two daughters."),
    (N, "The budget of the bridge project is 4,200 euros.",
     "The budget of the tower project is 9,000 euros."),
    (N, "Noor has a cat.", "Noor has a dog."),
    (N, "I bought milk.", "The weather in Leeds is fine."),
    (N, "The server runs PostgreSQL 16.", "The laptop has 16 GB of memory."),
    (N, "Leila speaks French.", "Leila speaks Arabic and German."),
    (N, "We went hiking on Sunday.", "We went swimming on Monday."),
    (N, "Max is a beagle.", "Max is three years old."),
    (N, "The invoice must be paid by March 3.", "The invoice was sent to the Harlow office."),
    (N, "How was your weekend?", "How was your exam?"),
    (N, "Thanks, that was great!", "Great, thanks a lot!"),
)  # fmt: skip

HELD_OUT: Final[Sequence[Pair]] = (
    (D, "Marta's car is a green Volvo.", "Marta's car is a green Volvo!"),
    (D, "The library closes at 18:00 on weekdays.", "On weekdays the library closes at 18:00."),
    (D, "Our landlord is Mr. Petrov.", "Mr. Petrov is our landlord."),
    (D, "Jonas is training for a marathon.", "Jonas is training for the marathon."),
    (D, "The backup job starts every night at 2:00.", "Every night at 2:00 the backup job starts."),
    (D, "My daughter is called Emma.", "Emma is my daughter's name."),
    (D, "Priya prefers window seats.", "Note that Priya prefers window seats."),
    (D, "The report has to be in English.", "The report must be written in English."),
    (D, "I grew up in a small village near Lyon.", "Near Lyon, in a small village, I grew up."),
    (D, "Ken took up pottery last spring.", "Ken started pottery in spring last year."),
    (D, "The spare key is under the flower pot.", "You find the spare key below the flower pot."),
    (D, "Olga's company ships furniture.", "Furniture is shipped by Olga's company."),
    (C, "Marta's car is a green Volvo.", "Marta's car is a black Audi."),
    (C, "The library closes at 18:00 on weekdays.", "The library now closes at 20:00 on weekdays."),
    (C, "Our landlord is Mr. Petrov.", "Our landlord is Mrs. Okafor now."),
    (C, "Jonas is training for a marathon.", "Jonas stopped training for the marathon."),
    (C, "The backup job starts every night at 2:00.",
     "The backup job starts every night at 4:30."),
    (C, "Priya prefers window seats.", "Priya prefers aisle seats."),
    (C, "The report has to be in English.", "The report has to be in German instead."),
    (C, "My sister is getting married in May.", "My sister's wedding in May is called off."),
    (C, "Ken's birthday is on the 4th of July.", "Ken's birthday is on the 14th of July."),
    (C, "The spare key is under the flower pot.", "The spare key isn't under the flower pot."),
    (C, "Olga manages the Berlin office.", "Olga has left the Berlin office, she manages Rome."),
    (C, "We meet at the north gate.", "Correction: we meet at the south gate."),
    (C, "The rent is 900 euros a month.", "The rent went up to 950 euros a month."),
    (C, "I drink my coffee black.", "I drink my coffee with milk these days."),
    (C, "The new logo will be blue.", "The new logo will be purple."),
    (C, "Sam is the team's captain.", "Ravi is the team's captain."),
    (N, "Marta's car is a green Volvo.", "Marta's bicycle is a green Bianchi."),
    (N, "The library closes at 18:00 on weekdays.", "The library has 40,000 books."),
    (N, "Our landlord is Mr. Petrov.", "Our neighbour is Mr. Lind."),
    (N, "Jonas is training for a marathon.", "Lena is training for a triathlon."),
    (N, "The backup job starts every night at 2:00.", "The report job starts every night at 3:00."),
    (N, "My daughter is called Emma.", "My son is called Felix."),
    (N, "Priya prefers window seats.", "Priya prefers morning flights."),
    (N, "I grew up in a small village near Lyon.", "I studied in a large city near Lyon."),
    (N, "Ken took up pottery last spring.", "Ken sold two of his bowls at the market."),
    (N, "Olga manages the Berlin office.", "Pavel manages the Rome office."),
    (N, "We meet at the north gate.", "Did you see the gate in the film?"),
    (N, "The rent is 900 euros a month.", "The heating costs 120 euros a month."),
    (N, "I visited Kyoto in 2019.", "I visited Kyoto again in 2023."),
    (N, "Sam read a book about whales.", "Sam read a book about volcanoes."),
    (N, "The printer is out of paper.", "The kitchen smells of onions."),
    (N, "Felix likes dinosaurs.", "Felix likes trains too."),
    (N, "Nina owns a bakery in Porto.", "Nina owns a summer house in Faro."),
    (N, "Sounds good, see you then!", "Sounds great, see you!"),
)  # fmt: skip


async def confusion(pairs: Sequence[Pair]) -> Counter[tuple[str, str]]:
    """How often each label was found for each that is right: (right, found)."""
    from langgraph.store.memory import InMemoryStore

    from infrastructure.embeddings.builtin import BuiltinEmbedder
    from infrastructure.memory.agemem.operations import AgeMem
    from infrastructure.memory.agemem.text_analysis import TextAnalyst

    analyst = TextAnalyst(BuiltinEmbedder())
    counts: Counter[tuple[str, str]] = Counter()
    for right, first, second in pairs:
        memory = AgeMem(InMemoryStore(), analyst=analyst)
        await memory.add(first)
        found = await memory.likeness(second)
        kind = str(found[0].kind) if found else N
        counts[right, N if kind == "related" else kind] += 1
    return counts


def figures(counts: Counter[tuple[str, str]], label: str) -> tuple[float, float]:
    """Precision and recall of a label."""
    hits = counts[label, label]
    found = sum(count for (_, said), count in counts.items() if said == label)
    right = sum(count for (truth, _), count in counts.items() if truth == label)
    return hits / max(1, found), hits / max(1, right)


if __name__ == "__main__":
    for name, pairs in (("seen", SEEN), ("held out", HELD_OUT)):
        counted = asyncio.run(confusion(pairs))
        for label in (D, C):
            precision, recall = figures(counted, label)
            print(f"{name:9} {label:14} precision {precision:.2f} recall {recall:.2f}")  # noqa: T201
