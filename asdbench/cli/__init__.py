"""The command line: one module a group of commands, which are listed here in the order of their use.

Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from asdbench.cli import benchmarks, data, dcase, detecting, learning, plugins, sound, tables
from asdbench.cli.root import main

__all__ = ["main"]

for _command in (
    benchmarks.run,
    plugins.list_plugins,
    benchmarks.validate,
    benchmarks.show,
    benchmarks.plan,
    tables.compare,
    tables.leaderboard,
    tables.power,
    dcase.evaluate,
    sound.audio_metrics,
    sound.simulate,
    data.data,
    learning.train,
    learning.generate,
    detecting.fit,
    detecting.export,
    detecting.score,
    plugins.new,
    plugins.check,
):
    main.add_command(_command)
