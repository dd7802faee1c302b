"""Ignore files: which paths of a DAG folder stay out of the bundle, and which are not parsed for DAGs.

Decides the two syntaxes, glob (as in .gitignore, the default) and regexp, and how nested files combine.
`.dagdeckignore` keeps files out of the bundle; `.airflowignore` only keeps them from being parsed as DAG
files, because DAG files may still import them. Does not walk folders (`walk`). Called by `walk`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from dagdeck_core.errors import UserError

BUNDLE_IGNORE_FILE = ".dagdeckignore"
PARSE_IGNORE_FILE = ".airflowignore"

_SYNTAX_LINE = re.compile(r"#\s*syntax\s*[:=]\s*(\w+)\s*$")


class IgnoreSyntax(StrEnum):
    """How the lines of an ignore file are read. A line `# syntax: regexp` in a file overrides the default."""

    GLOB = "glob"
    REGEXP = "regexp"


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRule:
    """One line of an ignore file. `base` is the file's folder relative to the root ("" or ending with "/")."""

    pattern: re.Pattern[str]
    base: str
    negated: bool = False
    folders_only: bool = False

    def matches(self, path: str, is_folder: bool) -> bool:
        """Whether the rule speaks about `path`, relative to the root."""
        if self.folders_only and not is_folder:
            return False
        return path.startswith(self.base) and self.pattern.search(path[len(self.base) :]) is not None


def is_ignored(rules: tuple[IgnoreRule, ...], path: str, is_folder: bool) -> bool:
    """Whether `path` is ignored: the last rule that matches decides, and `!` turns it round."""
    for rule in reversed(rules):
        if rule.matches(path, is_folder):
            return not rule.negated
    return False


def parse_ignore_file(
    text: str, *, file: str, base: str = "", syntax: IgnoreSyntax = IgnoreSyntax.GLOB
) -> tuple[IgnoreRule, ...]:
    """The rules of one ignore file. Raises UserError naming `file` and the line of a pattern that cannot be read."""
    rules = []
    for number, line in enumerate(text.splitlines(), start=1):
        if named := _SYNTAX_LINE.match(line.strip()):
            syntax = _syntax_named(named[1], file=file, line=number)
            continue
        try:
            rule = _glob_rule(line, base) if syntax is IgnoreSyntax.GLOB else _regexp_rule(line, base)
        except re.error as error:
            raise UserError(
                f"the ignore pattern cannot be read: {error}",
                file=file,
                field=f"line {number}",
                value=line,
                remedy=f"Correct it; the file is read as {syntax.value}",
            ) from error
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def _syntax_named(name: str, *, file: str, line: int) -> IgnoreSyntax:
    try:
        return IgnoreSyntax(name.lower())
    except ValueError:
        raise UserError(
            "unknown ignore syntax", file=file, field=f"line {line}", value=name, remedy="Write glob or regexp"
        ) from None


def _regexp_rule(line: str, base: str) -> IgnoreRule | None:
    pattern = re.sub(r"\s*#.*", "", line).strip()
    return IgnoreRule(pattern=re.compile(f"(?:{pattern})"), base=base) if pattern else None


def _glob_rule(line: str, base: str) -> IgnoreRule | None:
    line = re.sub(r"(?<!\\)\s+$", "", line)
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line[1:] if negated else line
    folders_only = line.endswith("/")
    body = line.rstrip("/")
    if not body:
        return None
    # A slash at the start or in the middle ties the pattern to the ignore file's own folder.
    anywhere = "" if "/" in body else "(?:.*/)?"
    pattern = re.compile(rf"\A{anywhere}{_glob_to_regexp(body.lstrip('/'))}\Z", re.DOTALL)
    return IgnoreRule(pattern=pattern, base=base, negated=negated, folders_only=folders_only)


def _glob_to_regexp(glob: str) -> str:
    out: list[str] = []
    position = 0
    while position < len(glob):
        rest = glob[position:]
        if rest.startswith("**/"):
            out.append("(?:.*/)?")
            position += 3
        elif rest == "**":
            out.append(".*")
            position += 2
        elif rest[0] == "*":
            out.append("[^/]*")
            position += 1
        elif rest[0] == "?":
            out.append("[^/]")
            position += 1
        elif rest[0] == "[" and (end := _class_end(glob, position)):
            out.append(_character_class(glob[position + 1 : end]))
            position = end + 1
        else:
            step = 1 if rest[0] != "\\" or len(rest) == 1 else 2
            out.append(re.escape(rest[step - 1]))
            position += step
    return "".join(out)


def _class_end(glob: str, start: int) -> int:
    """Index of the bracket that closes the class opened at `start`, or 0 when none does."""
    first = start + 1
    if glob[first : first + 1] in ("!", "^"):
        first += 1
    return max(glob.find("]", first + 1), 0)


def _character_class(body: str) -> str:
    negated = body[:1] in ("!", "^")
    inner = body[1:] if negated else body
    inner = inner.replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
    return f"(?!/)[{'^' if negated else ''}{inner}]"
