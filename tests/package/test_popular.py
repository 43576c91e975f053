"""Forty popular distributions of PyPI: each in a package, installed on a clean system, and used there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from projects import Project
from roots import Root

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.full]


@dataclass(frozen=True)
class Popular:
    """A distribution, and what shows that it works."""

    requirement: str
    use: str
    """A program that makes the distribution's machine code, or its program, do something."""
    build_depends: tuple[str, ...] = ()
    """Debian packages with libraries that its wheels take from the system."""
    config: str = ""
    """What else a user has to set, after venvpkg's own hint."""
    optional: str = ""
    """A module that needs what only an extra brings."""


# What Qt's plugins use, beside what these bring in themselves.
QT = (
    "libasound2", "libcups2", "libegl1", "libfontconfig1", "libgl1", "libnss3", "libpcsclite1", "libpq5",
    "libpulse0", "libspeechd2", "libwayland-cursor0", "libwayland-egl1", "libxcb-cursor0", "libxcb-icccm4",
    "libxcb-keysyms1", "libxcb-shape0", "libxcomposite1", "libxdamage1", "libxkbcommon-x11-0", "libxkbfile1",
    "libxrandr2", "libxtst6",
)  # fmt: skip
# Plugins whose libraries are neither in Debian nor in the wheels, and that for GTK.
QT_PRUNED = (
    "*/sqldrivers/libqsql[imo]*",
    "*/libqeglfs-kms-integration.so",
    "*/Compositor/*",
    "*/libqgtk3.so",
)

RUN = "from subprocess import run; from sys import prefix; "
TABLE = {
    # Python alone, or with little machine code
    "requests": Popular(
        "requests==2.34.2",
        "import requests; from charset_normalizer import from_bytes\n"
        "assert requests.Request('GET', 'http://x/', params={'a': 'é'}).prepare().url == 'http://x/?a=%C3%A9'\n"
        "assert from_bytes('déjà vu'.encode()).best().encoding == 'utf_8'",
    ),
    "django": Popular(
        "django==5.2.19",
        "from django import conf, setup, template\n"
        "engine = {'BACKEND': 'django.template.backends.django.DjangoTemplates'}\n"
        "conf.settings.configure(TEMPLATES=[engine]); setup()\n"
        "assert template.Template('{{ a|add:1 }}').render(template.Context({'a': 2})) == '3'",
    ),
    "fastapi": Popular(
        "fastapi==0.165.0",
        "import fastapi, pydantic\n"
        "class Item(pydantic.BaseModel):\n    n: int\n"
        "app = fastapi.FastAPI(); app.get('/x', response_model=Item)(lambda: 1)\n"
        "assert Item(n='3').n == 3 and '/x' in app.openapi()['paths']",
    ),
    "ansible-core": Popular(
        "ansible-core==2.19.14",
        RUN + "command = [prefix + '/bin/ansible', 'localhost', '-m', 'debug', '-a', 'msg={{ 6 * 7 }}']\n"
        "assert '42' in run(command, capture_output=True, text=True, check=True).stdout",
    ),
    "jupyterlab": Popular(
        "jupyterlab==4.6.6",
        RUN + "run([prefix + '/bin/jupyter', 'lab', '--version'], check=True)\n"
        "from jupyter_client.manager import start_new_kernel\n"
        "manager, client = start_new_kernel()\n"
        "answer = client.execute_interactive('print(6 * 7)', timeout=60)\n"
        "manager.shutdown_kernel(now=True)\n"
        "assert answer['content']['status'] == 'ok'",
    ),
    "sqlalchemy": Popular(
        "sqlalchemy==2.1.9",
        "import sqlalchemy; from sqlalchemy.util import _collections_cy\n"
        "engine = sqlalchemy.create_engine('sqlite://')\n"
        "assert engine.connect().execute(sqlalchemy.text('select 6 * 7')).scalar() == 42\n"
        "assert _collections_cy.__file__.endswith('.so')",
    ),
    "python-magic": Popular(
        "python-magic==0.4.27",
        "import magic; assert magic.from_buffer(b'%PDF-1.4', mime=True) == 'application/pdf'",
        build_depends=("libmagic1",),
    ),
    "weasyprint": Popular(
        "weasyprint==70.0",
        "import weasyprint; assert weasyprint.HTML(string='<p>x').write_pdf()[:4] == b'%PDF'",
        build_depends=("libpango-1.0-0", "libpangoft2-1.0-0"),
    ),
    # Programs in wheels
    "selenium": Popular(
        "selenium==4.51.0",
        RUN + "from selenium.webdriver.common.selenium_manager import SeleniumManager\n"
        "run([SeleniumManager()._get_binary(), '--version'], check=True)",
        config='prune = ["*/selenium/webdriver/common/linux-arm64/selenium-manager"]',
    ),
    "ruff": Popular(
        "ruff==0.17.6",
        RUN + "done = run([prefix + '/bin/ruff', 'check', '-'], input=b'import os', capture_output=True)\n"
        "assert b'F401' in done.stdout",
    ),
    "playwright": Popular(
        "playwright==1.65.2",
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as driver:\n    assert 'chrom' in driver.chromium.executable_path",
    ),
    "moviepy": Popular(
        "moviepy==2.2.1",
        "from moviepy import ColorClip, VideoFileClip\n"
        "ColorClip((64, 64), (9, 9, 9), duration=1).write_videofile('/tmp/x.mp4', fps=5, logger=None)\n"
        "assert VideoFileClip('/tmp/x.mp4').size == [64, 64]",
    ),
    # Machine code with bundled libraries
    "psycopg": Popular(
        "psycopg[binary]==3.3.9",
        "import psycopg, psycopg_binary; assert psycopg.pq.__impl__ == 'binary' and psycopg.pq.version()",
    ),
    "lxml": Popular(
        "lxml==6.1.3",
        "from lxml import etree\nassert etree.fromstring('<a><b n=\"1\"/></a>').xpath('number(//b/@n)') == 1",
    ),
    "cryptography": Popular(
        "cryptography==50.0.2",
        "from cryptography.fernet import Fernet; from cryptography.hazmat.primitives.asymmetric import rsa\n"
        "fernet = Fernet(Fernet.generate_key()); assert fernet.decrypt(fernet.encrypt(b'x')) == b'x'\n"
        "assert rsa.generate_private_key(65537, 2048).key_size == 2048",
    ),
    "pycryptodome": Popular(
        "pycryptodome==4.4.0",
        "from Crypto.Cipher import AES\n"
        "assert AES.new(bytes(16), AES.MODE_ECB).encrypt(bytes(16)).hex().startswith('66e94bd4')",
    ),
    "psutil": Popular("psutil==7.2.2", "import psutil; assert psutil.Process().memory_info().rss > 0"),
    "aiohttp": Popular(
        "aiohttp==3.14.5",
        "import asyncio; from aiohttp import ClientSession, web, _http_parser\n"
        "async def hello(request):\n    return web.Response(text='hi')\n"
        "async def main():\n"
        "    app = web.Application(); app.router.add_get('/', hello)\n"
        "    runner = web.AppRunner(app); await runner.setup()\n"
        "    await web.TCPSite(runner, '127.0.0.1', 8765).start()\n"
        "    async with ClientSession() as client, client.get('http://127.0.0.1:8765/') as answer:\n"
        "        assert await answer.text() == 'hi'\n"
        "    await runner.cleanup()\n"
        "asyncio.run(main())",
    ),
    "gevent": Popular(
        "gevent==26.9.0",
        "import gevent.monkey; gevent.monkey.patch_all(); import time\n"
        "start = time.time(); gevent.joinall([gevent.spawn(time.sleep, .1) for _ in range(50)])\n"
        "assert time.time() - start < 3",
    ),
    "grpcio": Popular(
        "grpcio==1.85.3",
        "import grpc; from concurrent.futures import ThreadPoolExecutor\n"
        "method = grpc.unary_unary_rpc_method_handler(lambda request, context: request + b'!')\n"
        "server = grpc.server(ThreadPoolExecutor())\n"
        "server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('s', {'m': method}),))\n"
        "port = server.add_insecure_port('127.0.0.1:0'); server.start()\n"
        "call = grpc.insecure_channel(f'127.0.0.1:{port}').unary_unary('/s/m')\n"
        "assert call(b'a', timeout=30) == b'a!'; server.stop(None)",
    ),
    "pillow": Popular(
        "pillow==13.0.0",
        "from PIL import Image, features\n"
        "for kind in ('png', 'jpg', 'webp', 'tiff', 'jp2', 'avif'):\n"
        "    Image.new('RGB', (64, 64), 'red').save(f'/tmp/x.{kind}')\n"
        "    assert Image.open(f'/tmp/x.{kind}').convert('RGB').getpixel((9, 9))[0] > 250\n"
        "assert features.check('freetype2') and features.check('littlecms2')",
    ),
    "pymupdf": Popular(
        "pymupdf==2.0",
        "import pymupdf; page = pymupdf.open().new_page(); page.insert_text((50, 50), 'word')\n"
        "assert 'word' in page.get_text() and page.get_pixmap().width > 100",
    ),
    "soundfile": Popular(
        "soundfile==0.14.0",
        "import soundfile, numpy\n"
        "for kind in ('flac', 'ogg', 'mp3'):\n"
        "    soundfile.write(f'/tmp/x.{kind}', numpy.zeros(1000), 8000)\n"
        "    assert soundfile.read(f'/tmp/x.{kind}')[1] == 8000",
    ),
    # Science
    "numpy": Popular(
        "numpy==2.4.6",
        "import numpy; a = numpy.arange(9.).reshape(3, 3) + numpy.eye(3)\n"
        "assert abs(numpy.linalg.inv(a) @ a - numpy.eye(3)).max() < 1e-9",
    ),
    "scipy": Popular(
        "scipy==1.17.1",
        "from scipy import linalg, optimize, sparse, special; from scipy.sparse.linalg import spsolve\n"
        "assert abs(optimize.brentq(lambda x: x * x - special.gamma(3), 0, 2) ** 2 - 2) < 1e-9\n"
        "assert spsolve(sparse.eye(4, format='csc'), linalg.schur([[1]])[0].repeat(4)).sum() == 4",
    ),
    "pandas": Popular(
        "pandas==3.1.1",
        "import pandas; frame = pandas.DataFrame({'k': list('aab'), 'v': [1, 2, 3]})\n"
        "assert frame.groupby('k').v.sum()['a'] == 3; pandas.Timestamp('2025-01-01', tz='Europe/Berlin')",
    ),
    "polars": Popular(
        "polars==2.1.0",
        "import polars; frame = polars.DataFrame({'k': ['a', 'a', 'b'], 'v': [1, 2, 3]})\n"
        "assert frame.group_by('k').agg(polars.col('v').sum()).sort('k')['v'][0] == 3",
    ),
    "pyarrow": Popular(
        "pyarrow==26.0.1",
        "import pyarrow; from pyarrow import compute, dataset, flight, orc, parquet\n"
        "parquet.write_table(pyarrow.table({'v': [1, 2, 3]}), '/tmp/x', compression='zstd')\n"
        "assert compute.sum(parquet.read_table('/tmp/x')['v']).as_py() == 6",
    ),
    "duckdb": Popular(
        "duckdb==2.0.1",
        "import duckdb; assert duckdb.sql('select sum(i) from range(10) t(i)').fetchall() == [(45,)]",
        optional="adbc_driver_duckdb",
    ),
    "matplotlib": Popular(
        "matplotlib==3.11.2",
        "from matplotlib import pyplot; pyplot.plot([1, 2, 1]); pyplot.title('$x^2$')\n"
        "pyplot.savefig('/tmp/x.pdf'); pyplot.savefig('/tmp/x.png')\n"
        "assert open('/tmp/x.png', 'rb').read(4) == b'\\x89PNG'",
    ),
    "opencv": Popular(
        "opencv-python-headless==5.0.0.93",
        "import cv2, numpy; image = numpy.zeros((64, 64, 3), 'uint8')\n"
        "cv2.circle(image, (32, 32), 9, (255, 255, 255), -1); assert cv2.Canny(image, 50, 100).any()\n"
        "film = cv2.VideoWriter('/tmp/x.avi', cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 64))\n"
        "film.write(image); film.release(); assert cv2.VideoCapture('/tmp/x.avi').read()[0]",
    ),
    "scikit-learn": Popular(
        "scikit-learn==1.9.1",
        "from sklearn import datasets, ensemble; x, y = datasets.load_iris(return_X_y=True)\n"
        "assert ensemble.RandomForestClassifier(n_jobs=2).fit(x, y).score(x, y) > .9",
    ),
    "numba": Popular(
        "numba==0.68.1",
        "import numba, numpy\nassert numba.njit(parallel=True)(lambda x: x.sum() * 2)(numpy.ones(5)) == 10",
        build_depends=("libtbb12",),
    ),
    "rasterio": Popular(
        "rasterio==1.4.4",
        "import numpy, rasterio; from rasterio.warp import transform\n"
        "form = dict(driver='GTiff', width=4, height=4, count=1, dtype='uint8', compress='deflate')\n"
        "with rasterio.open('/tmp/x.tif', 'w', **form) as file:\n"
        "    file.write(numpy.ones((1, 4, 4), 'uint8'))\n"
        "assert rasterio.open('/tmp/x.tif').read().sum() == 16\n"
        "assert round(transform('EPSG:4326', 'EPSG:3857', [180], [0])[0][0]) == 20037508",
    ),
    "netcdf4": Popular(
        "netCDF4==1.7.5.1.post1",
        "import netCDF4; file = netCDF4.Dataset('/tmp/x.nc', 'w'); file.createDimension('x', 4)\n"
        "file.createVariable('v', 'f8', ('x',), zlib=True)[:] = range(4); file.close()\n"
        "assert netCDF4.Dataset('/tmp/x.nc')['v'][:].sum() == 6",
    ),
    "spacy": Popular(
        "spacy==3.8.18",
        "import spacy; nlp = spacy.blank('en'); nlp.add_pipe('sentencizer')\n"
        "assert [s.text for s in nlp('It is. Two.').sents] == ['It is.', 'Two.']\n"
        "pipe = nlp.add_pipe('textcat'); [pipe.add_label(x) for x in 'ab']; nlp.initialize(); nlp('x')",
    ),
    # The heaviest
    "onnxruntime": Popular(
        "onnxruntime==1.32.0",
        "import numpy, onnxruntime\n"
        "def f(n, b):\n    return bytes([n << 3 | 2, len(b)]) + b\n"
        "def value(name):\n    return f(1, name) + f(2, f(1, b'\\x08\\x01' + f(2, f(1, b'\\x08\\x01'))))\n"
        "add = f(1, f(1, b'x') + f(1, b'x') + f(2, b'y') + f(4, b'Add'))\n"
        "graph = f(7, add + f(2, b'g') + f(11, value(b'x')) + f(12, value(b'y')))\n"
        "session = onnxruntime.InferenceSession(b'\\x08\\x08' + graph + f(8, b'\\x10\\x0d'))\n"
        "assert session.run(None, {'x': numpy.ones(1, 'f')})[0][0] == 2",
    ),
    "tensorflow-cpu": Popular(
        "tensorflow-cpu==2.21.0",
        "import tensorflow as tf; assert float(tf.reduce_sum(tf.ones((3, 3)) @ tf.ones((3, 3)))) == 27\n"
        "model = tf.keras.Sequential([tf.keras.layers.Dense(1)]); model.compile('sgd', 'mse')\n"
        "model.fit(tf.ones((4, 2)), tf.ones((4, 1)), verbose=0)",
        config='compression = "zstd"',
    ),
    "torch": Popular(
        "torch==2.15.0",
        "import torch; assert torch.linalg.inv(torch.eye(3)).sum() == 3\n"
        "torch.nn.Conv2d(1, 2, 3)(torch.ones(1, 1, 8, 8)).sum().backward()",
        config='compression = "zstd"\n'
        'prune = ["*/libcufile_rdma.so*", "*/nvshmem_bootstrap_*", "*/nvshmem_transport_*"]\n'
        'accept = [{ code = "V007", path = "*/libcaffe2_nvrtc.so", reason = "of the driver" }]',
    ),
    "pyside6": Popular(
        "PySide6==6.12.0",
        "import os; os.environ['QT_QPA_PLATFORM'] = 'offscreen'\n"
        "from PySide6 import QtCharts, QtMultimedia, QtNetwork, QtPdf, QtQml, QtQuick, QtSql, QtSvg\n"
        "from PySide6 import Qt3DCore, QtWebEngineCore; from PySide6.QtWidgets import QApplication, QLabel\n"
        "app = QApplication([]); label = QLabel('x'); label.show(); assert not label.grab().isNull()",
        build_depends=QT,
        config=f"prune = {list(QT_PRUNED)}",
    ),
}

IMPORTS = """
import importlib
from importlib.metadata import packages_distributions
for module, owners in packages_distributions().items():
    names = [owner.lower().replace("_", "-") for owner in owners]
    if {name!r} in names and module.isidentifier() and module != {optional!r}:
        importlib.import_module(module)
"""


@pytest.mark.parametrize("name", TABLE)
def test_popular_distribution_works_with_nothing_but_depends(
    name: str, builder: Callable[[str], Root], clean_root: Callable[[str], Root]
) -> None:
    """Nothing is found in the package; on a minimal system a plain user imports and uses what it holds."""
    popular, package = TABLE[name], f"with-{name}"
    project = Project(
        name=package,
        config=f"project = false\nbuild-depends = {list(popular.build_depends)}\n{popular.config}",
        build_depends=list(popular.build_depends),
        files={"requirements.txt": popular.requirement + "\n"},
    )
    root, server = builder("bookworm"), clean_root("bookworm")
    if popular.build_depends:
        root.apt("install", *popular.build_depends)
    deb = root.build(project).deb(package)
    root.run(["venvpkg", "verify", f"/build/{deb.name}"], network=False)
    server.install([deb])
    server.add_user("somebody")
    distribution = re.split(r"[\[=]", popular.requirement.lower())[0]
    for program in (IMPORTS.format(name=distribution, optional=popular.optional), popular.use):
        python = f"/opt/venvs/{package}/bin/python"
        server.run([python, "-c", program], user="somebody", cwd="/home/somebody", network=False)
