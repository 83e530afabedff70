"""Rasters beyond GeoTIFF and ENVI, pages, bands in files, and what stands beside an image; written by rasterio."""

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.transform import from_origin

from sslhsi.cli import main
from sslhsi.errors import InputError
from sslhsi.recipe import SceneSource
from sslhsi.scenes.read import read_labels, read_scene
from sslhsi.scenes.sources import expand, open_source, source_hash

H, W, B = 6, 5, 4
PLACE = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}


def cube_of(dtype="int16", bands=B):
    return np.random.default_rng(0).integers(1, 200, (H, W, bands)).astype(dtype)


def raster(path, cube, driver="GTiff", place=PLACE, **more):
    profile = {"driver": driver, "height": cube.shape[0], "width": cube.shape[1], "count": cube.shape[2]}
    with rasterio.open(path, "w", **profile, dtype=cube.dtype, **(place or {}), **more) as file:
        file.write(cube.transpose(2, 0, 1))
    return path


@pytest.mark.parametrize(
    ("name", "driver", "more"),
    [
        ("a.img", "HFA", {}),
        ("a.jp2", "JP2OpenJPEG", {"REVERSIBLE": "YES", "QUALITY": "100"}),
        ("a.pix", "PCIDSK", {}),
        ("a.rst", "RST", {}),
        ("a.vrt", None, {}),
    ],
)
def test_what_no_reader_claims_goes_to_gdal(tmp_path, name, driver, more):
    cube = cube_of("uint8" if name == "a.jp2" else "int16", 1 if name == "a.rst" else B)
    if name == "a.vrt":
        raster(tmp_path / "source.tif", cube)
        bands = "".join(
            f'<VRTRasterBand dataType="Int16" band="{n}"><SimpleSource><SourceFilename relativeToVRT="1">source.tif'
            f"</SourceFilename><SourceBand>{n}</SourceBand></SimpleSource></VRTRasterBand>"
            for n in range(1, B + 1)
        )
        (tmp_path / name).write_text(f'<VRTDataset rasterXSize="{W}" rasterYSize="{H}">{bands}</VRTDataset>')
    else:
        raster(tmp_path / name, cube, driver, **more)
    if name == "a.rst":
        np.testing.assert_array_equal(read_labels(tmp_path / name), cube[:, :, 0])
    else:
        np.testing.assert_array_equal(read_scene(tmp_path / name).cube, cube)


def test_what_nobody_reads(tmp_path):
    (tmp_path / "a.xyzzy").write_bytes(b"nothing that anybody knows")
    with pytest.raises(InputError, match=r"unknown suffix '.xyzzy'.*what GDAL reads"):
        read_scene(tmp_path / "a.xyzzy")


@pytest.mark.parametrize("layout", ["bil", "bip", "bsq"])
@pytest.mark.parametrize("byteorder", ["I", "M"])
@pytest.mark.parametrize("given", ["data", "header"])
def test_esri_header(tmp_path, layout, byteorder, given):
    cube = cube_of()
    axes = {"bil": (0, 2, 1), "bip": (0, 1, 2), "bsq": (2, 0, 1)}[layout]
    (tmp_path / f"a.{layout}").write_bytes(
        cube.transpose(axes).astype(">i2" if byteorder == "M" else "<i2").tobytes()
    )
    (tmp_path / "a.hdr").write_text(
        f"BYTEORDER      {byteorder}\nLAYOUT {layout.upper()}\nNROWS {H}\nNCOLS {W}\nNBANDS {B}\nNBITS 16\n"
        "PIXELTYPE SIGNEDINT\nNODATA -9999\nULXMAP 500005\nULYMAP 4999995\nXDIM 10\nYDIM 10\n"
    )
    scene = read_scene(tmp_path / ("a.hdr" if given == "header" else f"a.{layout}"))
    np.testing.assert_array_equal(scene.cube, cube)
    assert scene.georeference["transform"].almost_equals(PLACE["transform"])


@pytest.mark.parametrize(("cut", "message"), [(-2, "truncated"), (4, None)])
def test_esri_header_of_another_size(tmp_path, cut, message):
    content = cube_of().transpose(0, 2, 1).tobytes()
    (tmp_path / "a.bil").write_bytes(content[:cut] if cut < 0 else content + bytes(cut))
    (tmp_path / "a.hdr").write_text(f"NROWS {H}\nNCOLS {W}\nNBANDS {B}\nNBITS 16\nLAYOUT BIL\nPIXELTYPE SIGNEDINT\n")
    if message:
        with pytest.raises(InputError, match=message):
            read_scene(tmp_path / "a.hdr")
    else:
        assert any("4 bytes longer" in note for note in read_scene(tmp_path / "a.hdr").notes)


def test_pages_are_bands_in_their_order(tmp_path):
    cube = cube_of(bands=12)  # page 10 comes behind page 9, not behind page 1
    tifffile.imwrite(tmp_path / "a.tif", cube.transpose(2, 0, 1), photometric="minisblack")
    scene = read_scene(tmp_path / "a.tif")
    np.testing.assert_array_equal(scene.cube, cube)
    assert any("12 pages" in note for note in scene.notes)


def test_pages_of_another_size_are_passed_over(tmp_path):
    cube = cube_of("uint16", 3)
    pages = [Image.fromarray(cube[:, :, n]) for n in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=[*pages[1:], Image.new("I;16", (2, 2))])
    scene = read_scene(tmp_path / "a.tif")
    np.testing.assert_array_equal(scene.cube, cube)
    assert any("1 pages of another size" in note for note in scene.notes)


@pytest.mark.parametrize("how", ["folder", "pattern"])
def test_one_band_a_file(tmp_path, how):
    cube = cube_of(bands=12)
    folder = tmp_path / "field"
    folder.mkdir()
    for n in range(12):
        raster(folder / f"B{n + 1}.tif", cube[:, :, n : n + 1], nodata=0)
    (folder / "readme.txt").write_text("field")
    (folder / "._B1.tif").write_bytes(b"\0\5\x16\7")
    scene = read_scene(folder if how == "folder" else folder / "B*.tif", stack=True)
    np.testing.assert_array_equal(scene.cube, cube)
    assert scene.name == "field"
    assert scene.wavelengths is None
    assert any("from B1.tif to B12.tif" in note for note in scene.notes)
    assert scene.georeference["crs"] == PLACE["crs"]


def test_one_band_a_file_with_wavelengths_in_names(tmp_path):
    for wave in (450, 550, 1050):
        raster(tmp_path / f"plot_{wave}nm.tif", cube_of(bands=1))
    np.testing.assert_allclose(read_scene(tmp_path, stack=True).wavelengths, [450, 550, 1050])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"cube": cube_of(bands=1)[:-1]}, "is 5 x 5 pixels, b1.tif is 6 x 5"),
        ({"place": {**PLACE, "crs": "EPSG:32633"}}, "32633"),
        ({"place": {**PLACE, "transform": from_origin(500_010, 5_000_000, 10, 10)}}, "another place"),
        ({"cube": cube_of(bands=2)}, "has 2 bands"),
        ({"nodata": 7}, "no-data values"),
    ],
)
def test_files_of_bands_that_differ(tmp_path, second, message):
    raster(tmp_path / "b1.tif", cube_of(bands=1))
    raster(tmp_path / "b2.tif", **{"cube": cube_of(bands=1), **second})
    with pytest.raises(InputError, match=message):
        read_scene(tmp_path, stack=True)


def test_files_of_bands_with_a_scale_each(tmp_path):
    cube = cube_of(bands=3)
    for band, (gain, offset) in enumerate([(1.0, 0.0), (0.5, 2.0), (0.1, 0.0)]):
        path = raster(tmp_path / f"b{band}.tif", cube[:, :, band : band + 1])
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (gain,), (offset,)
    expected = cube * np.array([1, 0.5, 0.1]) + np.array([0, 2, 0])
    np.testing.assert_allclose(read_scene(tmp_path, stack=True).cube, expected, rtol=1e-6)


def test_stack_of_nothing(tmp_path):
    raster(tmp_path / "b1.tif", cube_of(bands=1))
    for path in (tmp_path, tmp_path / "c*.tif", tmp_path / "b1.tif"):
        with pytest.raises(InputError, match="stack= "):
            read_scene(path, stack=True)


HEADER = f"ENVI\nsamples = {W}\nlines = {H}\nbands = {B}\ndata type = 2\ninterleave = bsq\n"


@pytest.mark.parametrize("name", ["a.hdr", "a.tif.hdr", "a.HDR"])
def test_wavelengths_in_a_header_beside_a_geotiff(tmp_path, name):
    cube = cube_of()
    raster(tmp_path / "a.tif", cube)
    (tmp_path / name).write_text(
        HEADER + "wavelength units = Micrometers\nwavelength = {0.4, 0.5,\n 0.6, 0.7}\nbbl = {1, 1, 0, 1}\n"
    )
    for path in (tmp_path / "a.tif", tmp_path / name):
        scene = read_scene(path)
        np.testing.assert_array_equal(scene.cube, cube[:, :, [0, 1, 3]])
        np.testing.assert_allclose(scene.wavelengths, [400, 500, 700])


def test_two_headers_beside_a_geotiff(tmp_path):
    raster(tmp_path / "a.tif", cube_of())
    (tmp_path / "a.tif.hdr").write_text(HEADER)
    (tmp_path / "a.hdr").write_text(HEADER + "wavelength = {400, 500, 600, 700}\n")
    np.testing.assert_allclose(read_scene(tmp_path / "a.tif").wavelengths, [400, 500, 600, 700])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace(f"bands = {B}", "bands = 9"), "says bands = 9, the image has 4"),
        (HEADER + "wavelength = {400, 500}\n", "2 entries for 4 bands"),
        (HEADER + "wavelength = {red, green, blue, nir}\n", "holds text"),
    ],
)
def test_headers_that_do_not_fit_are_told(tmp_path, header, message):
    raster(tmp_path / "a.tif", cube_of())
    (tmp_path / "a.hdr").write_text(header)
    scene = read_scene(tmp_path / "a.tif")
    assert scene.wavelengths is None
    assert any(message in note for note in scene.notes)
    np.testing.assert_allclose(read_scene(tmp_path / "a.tif", wavelengths=[400, 500, 600, 700]).wavelengths[0], 400)


@pytest.mark.parametrize("where", ["band", "file"])
def test_aux_xml(tmp_path, where):
    raster(tmp_path / "a.tif", cube_of())
    waves = [400.5, 500.5, 600.5, 700.5]
    if where == "band":
        bands = "".join(
            f'<PAMRasterBand band="{n}"><Metadata><MDI key="wavelength">{w}</MDI><MDI key="wavelength_units">nm</MDI>'
            "</Metadata></PAMRasterBand>"
            for n, w in enumerate(waves, 1)
        )
        text = f"<PAMDataset>{bands}</PAMDataset>"
    else:
        text = f'<PAMDataset><Metadata domain="ENVI"><MDI key="wavelength">{{{waves}}}</MDI></Metadata></PAMDataset>'
    (tmp_path / "a.tif.aux.xml").write_text(text.replace("{[", "{").replace("]}", "}"))
    np.testing.assert_allclose(read_scene(tmp_path / "a.tif").wavelengths, waves)


def test_one_band_a_file_in_a_recipe(tmp_path):
    for n in range(3):
        raster(tmp_path / f"B{n + 1}.tif", cube_of(bands=1))
    (source,) = expand([SceneSource(path=str(tmp_path / "B*.tif"), stack=True)])
    assert source.name == tmp_path.name
    assert open_source(source, 0).bands == 3
    before = source_hash(source, 0)
    raster(tmp_path / "B2.tif", cube_of(bands=1) + 1)
    assert source_hash(source, 0) != before
    with pytest.raises(InputError, match="stack= needs one"):
        expand([SceneSource(path=str(tmp_path / "C*.tif"), stack=True)])


def test_one_band_a_file_on_the_command_line(tmp_path, capsys):
    for n in range(3):
        raster(tmp_path / f"B{n + 1}.tif", cube_of(bands=1))
    assert main(["data", "inspect", str(tmp_path), "--stack", "--no-png"]) == 0
    assert "3 files read as bands" in capsys.readouterr().out
