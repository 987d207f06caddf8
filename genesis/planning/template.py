"""Plans declared in `config/plan_templates.yaml`: what serves a request without a chat model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from genesis.errors import InvalidPlan, PlanningError
from genesis.planning.adapt import Declared
from genesis.planning.branch import replace_failed
from genesis.planning.deliverables import Deliverables
from genesis.planning.own_skills import OwnSkills
from genesis.planning.part_plan import plan_parts, told
from genesis.planning.parts import Part
from genesis.planning.planner import Goal, Plan
from genesis.planning.reader import RequestReader
from genesis.planning.template_config import Step, made_before, named_data, read_templates
from genesis.tasks.dag import TaskDAG
from genesis.tasks.phrases import Phrases
from genesis.tasks.task import Task
from infrastructure.a2a.agent import AgentCard
from infrastructure.config import ConfigFile, read_config

TEMPLATES_FILE = "plan_templates.yaml"


@dataclass(frozen=True, slots=True)
class Template:
    """A plan for the requests that meet its conditions (see `config/plan_templates.yaml`)."""

    name: str
    task_types: frozenset[str]
    given: frozenset[str]
    phrases: Phrases
    asks: frozenset[str]
    steps: tuple[Step, ...]

    def serves(self, goal: Goal, asked: Iterable[str]) -> bool:
        """Whether all its conditions hold."""
        return (
            (not self.task_types or goal.task_type in self.task_types)
            and self.given <= frozenset(goal.given)
            and (not self.asks or not self.asks.isdisjoint(asked))
            and (not self.phrases or bool(self.phrases.first_in(goal.request)))
        )


class TemplateBook:
    """All templates, what each datum is called for people, and what requests ask for.

    Attributes:
        templates: in the order in which they are tried.
        given: how to give each datum, in words.
        own: the skills that make what none of these names.
        deliverables: reads what a request asks for.
    """

    def __init__(
        self,
        templates: Sequence[Template],
        given: Mapping[str, str],
        own: OwnSkills,
        deliverables: Deliverables,
    ) -> None:
        self.templates = tuple(templates)
        self.given = dict(given)
        self.own = own
        self.deliverables = deliverables

    @classmethod
    def load(
        cls,
        file: ConfigFile | None = None,
        cards: Callable[[], Sequence[AgentCard]] = lambda: (),
        infer: Callable[[str], str] | None = None,
        reader: RequestReader | None = None,
    ) -> TemplateBook:
        """Read and check the configuration.

        Args:
            file: what was read; None reads `config/plan_templates.yaml`.
            cards: the registered agents now.
            infer: the task type of a passage of a request.
            reader: reads requests by examples; None reads by declared phrases alone.

        Raises:
            ConfigError: names the file, the key, and what is allowed.
        """
        read = read_templates(file or read_config(TEMPLATES_FILE))
        templates = [
            Template(
                one.name,
                frozenset(one.task_types),
                frozenset(one.given),
                Phrases(one.phrases),
                frozenset(one.asks),
                tuple(Step(task) for task in one.tasks),
            )
            for one in read.templates
        ]
        own = OwnSkills(cards, named_data(read), frozenset(read.given))
        families: dict[str, str] = {}
        for one in (template for template in read.templates if template.asks):
            for datum in (name for task in one.tasks for name in task.produces):
                families.setdefault(datum, one.name)
        deliverables = Deliverables(
            read.deliverables,
            read.asked,
            own,
            families=families,
            includes=made_before(read),
            openings=read.openings,
            open_ended=read.open_ended,
            neutral=read.neutral,
            infer=infer,
            reader=reader,
        )
        return cls(templates, read.given, own, deliverables)

    @property
    def declared(self) -> Declared:
        """What is declared of each operation."""
        steps = [step.config for template in self.templates for step in template.steps]
        return Declared(
            {step.operation: step.description for step in steps if step.operation},
            {(step.id, step.operation): tuple(step.optional) for step in steps if step.optional},
        )

    def steps_making(self, datum: str, goal: Goal) -> list[Task]:
        """Every declared task that makes a datum, as tasks for this goal, each operation once."""
        found: dict[str, Task] = {}
        for template in self.templates:
            for step in template.steps:
                if datum in step.config.produces:
                    found.setdefault(step.config.operation, step.task(goal.task_type, goal.given))
        return list(found.values())


class TemplatePlanner:
    """Plans by the first template that serves the request, and needs nothing but its data."""

    name = "template"

    def __init__(self, book: TemplateBook) -> None:
        self._book = book

    async def plan(self, goal: Goal) -> Plan | None:
        """A plan that makes what the request asks for.

        Raises:
            PlanningError: the request lacks data (says what to give), or a failed branch has no
                other way declared.
        """
        if goal.failed and goal.last is not None:
            dag, changes = replace_failed(goal, lambda datum: self._book.steps_making(datum, goal))
            return Plan(dag, "template", "the failed branch is planned another way", changes)
        parts = self._book.deliverables.parts(goal.request, goal.task_type, goal.given)
        found = [self._template(part, goal) for part in parts]
        templates = [template for template in found if template is not None]
        if len(templates) < len(parts):
            return None
        used = ", ".join(dict.fromkeys(repr(template.name) for template in templates))
        used = f"the template{'s' if ',' in used else ''} {used}"
        try:
            dag = TaskDAG(plan_parts(goal, parts, self._part_tasks), goal.given)
        except InvalidPlan as error:
            raise PlanningError(f"{used}: {error}") from error
        if goal.objections and dag == goal.last:
            raise PlanningError(f"{used}: no other plan than the one sent back")
        made = ", ".join(datum for part in parts for datum in part.asked)
        reason = told(parts) if len(parts) > 1 else f"{used} makes {made}"
        return Plan(dag, "template", reason)

    def _template(self, part: Part, goal: Goal) -> Template | None:
        own = replace(
            goal,
            task_type=part.task_type,
            request=part.words or goal.request,
            given=part.given(goal.given),
        )
        return next((t for t in self._book.templates if t.serves(own, part.asked)), None)

    def _part_tasks(self, goal: Goal, part: Part) -> list[Task]:
        template = next(t for t in self._book.templates if t.serves(goal, part.asked))
        return self._tasks(template, goal, part.asked)

    def _tasks(self, template: Template, goal: Goal, asked: Sequence[str]) -> list[Task]:
        """The tasks that make what is asked for and, first, what those need."""
        own = [step.task(goal.task_type, goal.given) for step in template.steps]
        chosen: dict[str, Task] = {}
        pending = list(asked)
        while pending:
            datum = pending.pop(0)
            if any(datum in task.produces for task in chosen.values()):
                continue
            task = self._maker(own, datum, goal, asked)
            chosen[task.id] = task
            made_here = {name for one in own for name in one.produces} - set(task.produces)
            pending.extend(n for n in task.requires if n not in goal.given or n in made_here)
        order = [task.id for task in own]
        return sorted(chosen.values(), key=lambda t: order.index(t.id) if t.id in order else 99)

    def _maker(self, own: Sequence[Task], datum: str, goal: Goal, asked: Sequence[str]) -> Task:
        makers = [task for task in own if datum in task.produces]
        # What can be given is not made unasked: nobody writes a project to have its tests run.
        if not makers and (datum in asked or datum not in self._book.given):
            makers = self._book.steps_making(datum, goal)
        if makers:
            return makers[0]
        how = self._book.given.get(datum, f"the datum {datum!r}")
        raise PlanningError(f"this {goal.task_type} request lacks {how}")
