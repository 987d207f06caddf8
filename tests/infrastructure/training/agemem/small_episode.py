"""An episode small enough to follow by hand: a home changes, a visit is taken back."""

from __future__ import annotations

from infrastructure.training.agemem.episodes import (
    Arrival,
    Episode,
    Need,
    Question,
    Turn,
    TurnKind,
)

OLD_HOME = "Nora lives in Oslo."
NEW_HOME = "Nora has moved to Riga."
ALLERGY = "Nora is allergic to walnuts."
ALLERGY_AGAIN = "Walnuts make Nora ill."
VISIT = "Tom sees the dentist on Friday."
WEATHER = "It rained in Oslo all day, Tom said."
TRAIN = "The train to Riga leaves at 9:40."
SCORES = "The match between Lund and Skövde ended 3 to 1."

EPISODE = Episode(
    episode_id="small",
    turns=(
        Turn(OLD_HOME, TurnKind.FACT, "home-1", evidence=OLD_HOME, useful=True),
        Turn(f"{WEATHER} Dull.", TurnKind.CHATTER),
        Turn(f"By the way. {ALLERGY}", TurnKind.FACT, "allergy", evidence=ALLERGY, useful=True),
        Turn(NEW_HOME, TurnKind.UPDATE, "home-2", "home-1", NEW_HOME, useful=True),
        Turn(VISIT, TurnKind.FACT, "visit", evidence=VISIT, useful=True),
        Turn(ALLERGY_AGAIN, TurnKind.RESTATEMENT, "allergy", evidence=ALLERGY_AGAIN),
        Turn("Forget the dentist, Tom.", TurnKind.RETRACTION, "visit", "visit"),
    ),
    goal="We plan how Nora gets home to Riga.",
    arrivals=(
        Arrival(SCORES),
        Arrival(f"Timetable: {TRAIN}", TRAIN, "train"),
    ),
    questions=(
        Question("Where does Nora live?", (Need("home-2", (NEW_HOME,)),), (OLD_HOME,)),
        Question("What is Nora allergic to?", (Need("allergy", (ALLERGY, ALLERGY_AGAIN)),)),
        Question(
            "When does the train to Nora's home leave?",
            (Need("train", (TRAIN,)), Need("home-2", (NEW_HOME,))),
            (OLD_HOME,),
        ),
    ),
    capacity=4,
    budget=64,
)
