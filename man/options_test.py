#!/usr/bin/env python3
"""Compares the options that a program tells of with those of its manual page, and lints the page: options_test.py PAGE [PROGRAM [WORD]...]

Each WORD (underscores are spaces) is a command with a help of its own. What a page includes with .so is looked for beside it.
"""
import pathlib
import re
import shutil
import subprocess
import sys


def options_in(text):
    return set(re.findall(r'(?<!\S)--?[A-Za-z][\w-]*', text))


def of_help(text):
    """Those of the lines that explain one, as "-x, --long ARGUMENT" does."""
    return {option for line in re.findall(r'^ +(-.*?)(?:  |$)', text, re.MULTILINE) for option in options_in(line)}


def of_manual(text):
    found = set()
    for item in re.findall(r'^\.It Fl (.*)$', text, re.MULTILINE):
        for part in item.split(' , '):
            name = part.removeprefix('Fl ').split()[0]
            found.add('-' + name)
    return found


def told_by(program, words):
    commands = [[], *(word.split('_') for word in words)]
    return '\n'.join(subprocess.run([program, *command, '--help'], check=True, capture_output=True, text=True).stdout for command in commands)


LINTERS = (('mandoc', '-T', 'lint', '-W', 'warning'), ('man', '--warnings', '-E', 'UTF-8', '-l'))


def complaints(page):
    """Whether a manual that it refers to is installed is not its business."""
    found = []
    for linter in LINTERS:
        if shutil.which(linter[0]):
            said = subprocess.run([*linter, page], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            found += [line for line in (said.stderr + (said.stdout if linter[0] == 'mandoc' else '')).splitlines() if 'mandoc.db' not in line]
    return found


def main():
    page = pathlib.Path(sys.argv[1])
    text = page.read_text(encoding='utf-8')
    problems = [] if text.startswith('.so ') else complaints(str(page))
    if text.startswith('.so ') and not (page.parent / text.split()[1].split('/')[1]).exists():
        problems.append(f'{page}: {text.strip()}: no such page')
    if len(sys.argv) > 2:
        said, manual = told_by(sys.argv[2], sys.argv[3:]), of_manual(text)
        problems += [f'not in the manual: {option}' for option in sorted(of_help(said) - manual)]
        problems += [f'in the manual only: {option}' for option in sorted(manual - options_in(said))]
        problems += [] if of_help(said) else ['the program tells of no option']
    missing = [linter[0] for linter in LINTERS if not shutil.which(linter[0])]
    for problem in problems + [f'{name} is missing' for name in missing]:
        print(problem)
    return 1 if problems else 77 if missing else 0


if __name__ == '__main__':
    sys.exit(main())
