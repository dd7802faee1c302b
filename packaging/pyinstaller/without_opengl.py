"""Runs first in a bundle with the window: stands in for Qt's OpenGL classes, whose bindings take 9 MB.

pyqtgraph imports them by name, for curves that OpenGL draws; no chart of ours is drawn so, and it asks of a widget only
whether it is one of them. Named by the desktop's specification.
"""

import sys
from types import ModuleType


class QOpenGLWidget:
    """No widget is one."""


_opengl, _widgets = ModuleType("PySide6.QtOpenGL"), ModuleType("PySide6.QtOpenGLWidgets")
_widgets.QOpenGLWidget = QOpenGLWidget
sys.modules[_opengl.__name__] = _opengl
sys.modules[_widgets.__name__] = _widgets
