"""Domains of several sections together: described one by one, divided at once, and finished one by one.

Every section goes through the chain twice, in its own folder. What the first passage made, the second one takes over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histoscribe.domains.result import DomainResult
from histoscribe.domains.unmeasured import with_unmeasured
from histoscribe.errors import InputError
from histoscribe.io.reading import Request
from histoscribe.run.events import Listener
from histoscribe.run.inputs import Input, read_input
from histoscribe.run.section.blocks import feature_blocks, spot_graph
from histoscribe.run.section.chain import run_chain
from histoscribe.run.section.domains import write_domains
from histoscribe.run.section.files import NUCLEI
from histoscribe.run.section.finished import read_embedding
from histoscribe.run.section.nuclei import read_nuclei_block
from histoscribe.run.section.plan import DomainPlan, Plan, method_options, plan_run
from histoscribe.run.section.settings import JOINT_METHOD, DomainSettings, RunConfig
from histoscribe.run.several import Outcome, attempt_each, each_section, require_all
from histoscribe.section import Section
from histoscribe.store.result import read_record

if TYPE_CHECKING:
    from histoscribe.domains.joint import JointSection  # loads torch, which most commands do without


@dataclass(frozen=True, slots=True)
class JointSettings(DomainSettings):
    """What is asked of the domain stage of each section; the number of domains is that over all sections.

    Parameters
    ----------
    integration
        How differences between sections are removed.
    sections
        Names of all sections that were divided together.
    """

    integration: str = "standardised"
    sections: tuple[str, ...] = ()


@dataclass(slots=True)
class _Together:
    """The sections as they were described, and their division, which is made when the first of them asks for it."""

    config: RunConfig
    sections: "dict[str, JointSection]" = field(default_factory=dict)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    found: dict[str, DomainResult] | None = None

    def add(self, given: Input, plan: Plan, folder: Path) -> None:
        """Add a section that was described in `folder`."""
        from histoscribe.domains.joint import JointSection

        section, measured = given.section.of_spots(given.section.measured), given.section.measured
        embedding = read_embedding(folder, given.section)[measured] if plan.tiles is not None else None
        nuclei = None
        if plan.nuclei is not None:
            nuclei = read_nuclei_block(folder / NUCLEI, given.section.spots.obs_names)[measured]
        blocks = feature_blocks(section, embedding, method=JOINT_METHOD, nuclei=nuclei)
        blocks.pop("position")  # sections are laid side by side, and a place in one is not near one in another
        graph = spot_graph(section, neighbours=self.config.neighbours)
        genes = tuple(section.spots.var_names.astype(str)) if section.has_counts else ()
        self.sections[section.name] = JointSection(section.name, blocks, graph, section.xy_um, genes)
        stages = read_record(folder)["stages"]
        self.keys[section.name] = {name: stages[name]["key"] for name in ("check", "embed", "nuclei") if name in stages}

    def plan(self, section: Section) -> DomainPlan:
        """Plan to give this section its part of the division, which is made when the first section asks for it.

        Raises
        ------
        InputError
            Where the section is not among those that were described: it was refused then.
        """
        if section.name not in self.sections:
            raise InputError(
                "this section was refused before the others were divided",
                where=f"section {section.name!r}",
                fix="run the command again",
            )

        def find(to: Path, done: Path, parts: Sequence[str]) -> dict[str, Any]:
            found = self._divided()[section.name]
            return write_domains(to, section, with_unmeasured(found, section.xy_um, measured=section.measured))

        config = self.config
        names = tuple(sorted(self.sections))
        settings = JointSettings(
            JOINT_METHOD,
            config.n_domains,
            dict(config.weights),
            config.seed,
            neighbours=config.neighbours,
            options=method_options(JOINT_METHOD, config),
            integration=config.joint,
            sections=names,
        )
        return DomainPlan(settings, find, reads=self.keys)

    def _divided(self) -> dict[str, DomainResult]:
        from histoscribe.domains.joint import joint_domains

        if self.found is None:
            self.found = joint_domains(
                list(self.sections.values()),
                n_domains=self.config.n_domains,
                seed=self.config.seed,
                weights=dict(self.config.weights) or None,
                integration=self.config.joint,  # type: ignore[arg-type]  # "none" never comes here
                **method_options(JOINT_METHOD, self.config),
            )
        return self.found


def find_jointly(
    requests: Sequence[Request],
    out: Path,
    config: RunConfig,
    listen: Listener,
    *,
    command: str,
    more: dict[str, Callable[[Sequence[Outcome]], bytes | None]],
) -> list[Outcome]:
    """Find the domains of all sections of a sample sheet together; see `RunConfig.joint`.

    Parameters
    ----------
    command
        Who asks, for messages.
    more
        As of `each_section`.

    Raises
    ------
    InputError
        Fewer than two sections, or a refused one unless `config.skip_refused`.
    """
    if len(requests) < 2:
        raise InputError(
            "domains are found together in two or more sections",
            where="--joint",
            found="1 section",
            fix="give a sample sheet, or leave --joint out",
        )
    together = _Together(config)

    def describe(request: Request, folder: Path, listen: Listener) -> Outcome:
        given = read_input(request)
        plan = replace(plan_run(given, config, command=command), domains=None, maps=None)
        outcome = run_chain(given, plan, out=folder, listen=listen)
        together.add(given, plan, folder)
        return outcome

    described = attempt_each(requests, out, describe, listen=listen, files=more)
    if not config.skip_refused:
        refused = {outcome.section: outcome.reason for outcome in described if outcome.status == "refused"}
        require_all(refused, len(requests), where=out, why="the domains of the others mean something else")

    def divide(request: Request, folder: Path, listen: Listener) -> Outcome:
        given = read_input(request)
        plan = replace(plan_run(given, config, command=command), domains=together.plan(given.section))
        return run_chain(given, plan, out=folder, listen=listen)

    return each_section(requests, out, divide, listen=listen, more=more)  # one that was refused is refused again
