"""Satellite and airborne products, built small from their published descriptions (no file of theirs is at hand)."""

import h5py
import netCDF4
import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin

from sslhsi.errors import InputError
from sslhsi.recipe import SceneSource
from sslhsi.scenes.folders import scene_files
from sslhsi.scenes.read import read_scene
from sslhsi.scenes.sources import expand, source_hash

H, W = 6, 5
RNG = np.random.default_rng(0)


def numbers(shape, dtype="uint16"):
    return RNG.integers(1, 1000, shape).astype(dtype)


def prisma(path, *, level="2D", vnir=(600.0, 500.0, 400.0, 0.0), swir=(900.0, 800.0, 0.0), attributes=None, swaths=1):
    """ASI, PRISMA Products Specification: Data Fields of PRS_L2D_HCO (or PRS_L1_HCO), Global attributes."""
    cubes = {"VNIR": numbers((H, len(vnir), W)), "SWIR": numbers((H, len(swir), W))}
    scale = {f"L2Scale{d}{end}": value for d in ("Vnir", "Swir") for end, value in (("Min", 0.0), ("Max", 0.5))}
    with h5py.File(path, "w") as file:
        for swath in ("HCO", "HRC")[:swaths]:
            group = f"HDFEOS/SWATHS/PRS_L{level}_{swath}/Data Fields"
            for name, cube in cubes.items():
                file[f"{group}/{name}_Cube"] = cube if swath == "HCO" else cube + 1
                file[f"{group}/{name}_PIXEL_L2_ERR_MATRIX"] = np.zeros(cube.shape, "uint8")
        file.attrs["List_Cw_Vnir"], file.attrs["List_Cw_Swir"] = np.float32(vnir), np.float32(swir)
        for key, value in (scale if attributes is None else attributes).items():
            file.attrs[key] = value
    return cubes


def test_prisma_is_one_scene_of_two_cubes(tmp_path):
    cubes = prisma(tmp_path / "a.he5", swaths=2)
    scene = read_scene(tmp_path / "a.he5")
    np.testing.assert_allclose(scene.wavelengths, [400, 500, 600, 800, 900])
    expected = np.concatenate([cubes["VNIR"][:, [2, 1, 0]], cubes["SWIR"][:, [1, 0]]], axis=1).transpose(0, 2, 1)
    np.testing.assert_allclose(scene.cube, expected * 0.5 / 65535, rtol=1e-6)
    assert scene.labels is None


@pytest.mark.parametrize("name", ["VNIR", "VNIR_Cube"])
def test_prisma_by_detector(tmp_path, name):
    cubes = prisma(tmp_path / "a.he5")
    scene = read_scene(tmp_path / "a.he5", cube=name)
    np.testing.assert_allclose(scene.wavelengths, [400, 500, 600])
    np.testing.assert_allclose(scene.cube, cubes["VNIR"][:, [2, 1, 0]].transpose(0, 2, 1) * 0.5 / 65535, rtol=1e-6)
    given = read_scene(tmp_path / "a.he5", cube="VNIR", layout="hbw", labels=False)  # the caller wins
    np.testing.assert_array_equal(given.cube, cubes["VNIR"].transpose(0, 2, 1))
    stored = read_scene(tmp_path / "a.he5", cube="VNIR", scale="none").cube
    np.testing.assert_array_equal(stored, cubes["VNIR"][:, [2, 1, 0]].transpose(0, 2, 1))


def test_prisma_overlap_is_the_first_detectors(tmp_path, caplog):
    caplog.set_level("INFO", "sslhsi")
    prisma(tmp_path / "a.he5", vnir=(1000.0, 900.0, 400.0), swir=(1100.0, 1010.0, 950.0))
    np.testing.assert_allclose(read_scene(tmp_path / "a.he5").wavelengths, [400, 900, 1000, 1010, 1100])
    assert "SWIR: 1 bands left out" in caplog.text
    np.testing.assert_allclose(read_scene(tmp_path / "a.he5", cube="SWIR").wavelengths, [950, 1010, 1100])


def test_prisma_level_1_and_padding_and_place(tmp_path):
    scale = {"ScaleFactor_Vnir": 100.0, "Offset_Vnir": 1.0, "ScaleFactor_Swir": 50.0, "Offset_Swir": 0.0}
    cubes = prisma(tmp_path / "a.he5", level="1", attributes=scale)
    scene = read_scene(tmp_path / "a.he5")
    np.testing.assert_allclose(scene.cube[:, :, 0], cubes["VNIR"][:, 2] / 100 - 1, rtol=1e-5)
    np.testing.assert_allclose(scene.cube[:, :, -1], cubes["SWIR"][:, 0] / 50, rtol=1e-5)
    assert scene.georeference is None
    corners = {
        "Epsg_Code": 32632,
        "Product_ULcorner_easting": 500_000.0, "Product_ULcorner_northing": 5_000_000.0,
        "Product_LRcorner_easting": 500_000.0 + 30 * (W - 1), "Product_LRcorner_northing": 5_000_000.0 - 30 * (H - 1),
    }  # fmt: skip
    cubes = prisma(tmp_path / "b.he5", attributes=corners)
    with h5py.File(tmp_path / "b.he5", "a") as file:
        for name in ("VNIR", "SWIR"):
            file[f"HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/{name}_Cube"][0, :, 0] = 0
        for word in ("Vnir", "Swir"):
            file.attrs[f"L2Scale{word}Min"], file.attrs[f"L2Scale{word}Max"] = 0.1, 0.6
    scene = read_scene(tmp_path / "b.he5")
    assert scene.georeference["crs"] == CRS.from_epsg(32632)
    assert scene.georeference["transform"].almost_equals(from_origin(500_000 - 15, 5_000_000 + 15, 30, 30))
    assert not scene.mask[0, 0]
    assert scene.mask.sum() == H * W - 1


def test_prisma_that_contradicts_itself(tmp_path, caplog):
    caplog.set_level("INFO", "sslhsi")
    prisma(tmp_path / "a.he5", attributes={"L2ScaleVnirMin": 0.0, "L2ScaleVnirMax": 1.0})
    assert read_scene(tmp_path / "a.he5").cube.max() > 1  # one scale for one scene
    assert "no scale for SWIR" in caplog.text
    with h5py.File(tmp_path / "a.he5", "a") as file:
        file.attrs["List_Cw_Vnir"] = np.float32([400, 500])
    with pytest.raises(InputError, match="2 wavelengths for the 4 bands of VNIR"):
        read_scene(tmp_path / "a.he5")
    with pytest.raises(InputError, match="layout= is for one array"):
        read_scene(tmp_path / "a.he5", layout="hbw")


def neon(path, bands=12):
    """NEON.DP3.30006: SITE/Reflectance with Metadata/Spectral_Data, Coordinate_System and Ancillary_Imagery."""
    cube = numbers((H, W, bands), "int16")
    cube[0, 0] = -9999
    with h5py.File(path, "w") as file:
        group = file.create_group("HARV/Reflectance")
        group["Reflectance_Data"] = cube
        group["Reflectance_Data"].attrs.update({"Scale_Factor": 10000.0, "Data_Ignore_Value": -9999.0})
        group["Metadata/Spectral_Data/Wavelength"] = np.linspace(0.4, 2.5, bands)
        group["Metadata/Spectral_Data/Wavelength"].attrs["Units"] = "micrometers"
        group["Metadata/Spectral_Data/FWHM"] = np.full(bands, 5.0)
        group["Metadata/Coordinate_System/Map_Info"] = (
            "UTM,  1.000,  1.000,  726000.000,  4700000.000,  1.000,  1.000,  18,  North,  WGS-84,  units=Meters, 0"
        )
        group["Metadata/Coordinate_System/EPSG Code"] = "32618"
        for layer in ("Haze_Cloud_Water_Map", "Weather_Quality_Indicator", "Cast_Shadow"):
            group[f"Metadata/Ancillary_Imagery/{layer}"] = RNG.integers(0, 3, (H, W)).astype("uint8")
    return cube


def test_neon_has_no_ground_truth(tmp_path):
    cube = neon(tmp_path / "a.h5")
    scene = read_scene(tmp_path / "a.h5")
    assert scene.labels is None
    np.testing.assert_allclose(scene.cube[1:], cube[1:] / 10000, rtol=1e-5)
    assert not scene.mask[0, 0]
    np.testing.assert_allclose(scene.wavelengths, np.linspace(400, 2500, 12))
    assert scene.georeference["crs"] == CRS.from_epsg(32618)
    assert scene.georeference["transform"].almost_equals(from_origin(726_000, 4_700_000, 1, 1))
    assert read_scene(tmp_path / "a.h5", labels="Haze_Cloud_Water_Map").labels.shape == (H, W)
    assert read_scene(tmp_path / "a.h5", cube="Reflectance_Data").labels is None


def netcdf(path, variables, dims, form="NETCDF4"):
    """Variables by name: (axes, array, attributes); names with a slash lie in groups."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        for name, size in dims.items():
            file.createDimension(name, size)
        for name, (axes, array, attributes) in variables.items():
            fill = attributes.pop("_FillValue", None)
            variable = file.createVariable(name, np.asarray(array).dtype, axes, fill_value=fill)
            variable.set_auto_maskandscale(False)
            variable.setncatts(attributes)
            variable[...] = array
    return path


def test_emit(tmp_path):
    """LP DAAC, EMIT L2A user guide: reflectance (downtrack, crosstrack, bands) and two groups of metadata."""
    cube = RNG.random((H, W, 8)).astype("float32")
    cube[2, 2] = -9999
    good = np.float32([1, 1, 1, 0, 0, 1, 1, 1])
    cube[:, :, good == 0] = -0.01
    waves = np.linspace(380, 2500, 8).astype("float32")
    netcdf(
        tmp_path / "a.nc",
        {
            "reflectance": (("downtrack", "crosstrack", "bands"), cube, {"_FillValue": np.float32(-9999)}),
            "sensor_band_parameters/wavelengths": (("bands",), waves, {"units": "nm"}),
            "sensor_band_parameters/fwhm": (("bands",), waves * 0 + 8.5, {"units": "nm"}),
            "sensor_band_parameters/good_wavelengths": (("bands",), good, {}),
            "location/lat": (("downtrack", "crosstrack"), RNG.random((H, W)), {}),
            "location/glt_x": (("ortho_y", "ortho_x"), RNG.integers(0, W, (9, 9)).astype("int32"), {}),
        },
        {"downtrack": H, "crosstrack": W, "bands": 8, "ortho_y": 9, "ortho_x": 9},
    )
    scene = read_scene(tmp_path / "a.nc")
    np.testing.assert_allclose(scene.wavelengths, waves[good == 1])
    np.testing.assert_array_equal(scene.cube[3:], cube[3:, :, good == 1])
    assert scene.labels is None
    assert read_scene(tmp_path / "a.nc", drop_bands=()).bands == 8


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"])
@pytest.mark.parametrize("axes", ["y x wavelength", "wavelength y x", "time wavelength y x"])
def test_netcdf_axes_by_name(tmp_path, form, axes):
    axes = axes.split()
    sizes = {"y": H, "x": W, "wavelength": W, "time": 1}  # as many bands as columns: names alone can tell
    cube = numbers((H, W, W), "int16")
    order = [("y", "x", "wavelength").index(axis) for axis in axes if axis != "time"]
    array = cube.transpose(order)[None] if "time" in axes else cube.transpose(order)
    path = netcdf(
        tmp_path / "a.nc",
        {
            "radiance": (axes, array, {}),
            "wavelength": (("wavelength",), np.linspace(0.4, 0.9, W), {"units": "um"}),
            "x": (("x",), 500_005.0 + 10 * np.arange(W), {"units": "m"}),
            "y": (("y",), 5_000_055.0 - 10 * np.arange(H), {"units": "m"}),
            "spatial_ref": ((), np.int32(0), {"crs_wkt": CRS.from_epsg(32632).to_wkt()}),
        },
        {axis: sizes[axis] for axis in ("time", "y", "x", "wavelength")},
        form,
    )
    scene = read_scene(path)
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_allclose(scene.wavelengths, np.linspace(400, 900, W))
    assert scene.georeference["crs"] == CRS.from_epsg(32632)
    assert scene.georeference["transform"].almost_equals(from_origin(500_000, 5_000_060, 10, 10))


def test_hypso_keeps_wavelengths_in_an_attribute(tmp_path):
    """HYPSO (and HICO) level 1b: products/Lt (lines, samples, bands) with the attribute wavelengths."""
    cube = numbers((H, W, 7))
    waves = np.linspace(400, 800, 7)
    netcdf(
        tmp_path / "a.nc",
        {"products/Lt": (("lines", "samples", "bands"), cube, {"wavelengths": waves, "units": "W/m^2/um/sr"})},
        {"lines": H, "samples": W, "bands": 7},
    )
    scene = read_scene(tmp_path / "a.nc")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_allclose(scene.wavelengths, waves)


def test_pace_level_1b(tmp_path):
    """NASA, PACE OCI level 1B format: observation_data/rhot_* (bands, scans, pixels), sensor_band_parameters."""
    waves = {"blue": [400.0, 500.0, 605.0], "red": [600.0, 700.0], "SWIR": [940.0, 2258.0]}
    arrays = {name: RNG.random((len(centres), H, W)).astype("float32") for name, centres in waves.items()}
    variables, dims = {}, {"number_of_scans": H, "ccd_pixels": W}
    for name, centres in waves.items():
        dims[f"{name}_bands"] = len(centres)
        axes = (f"{name}_bands", "number_of_scans", "ccd_pixels")
        variables[f"observation_data/rhot_{name}"] = axes, arrays[name], {"_FillValue": np.float32(-32767)}
        variables[f"observation_data/qual_{name}"] = axes, np.zeros((len(centres), H, W), "uint8"), {}
        variables[f"sensor_band_parameters/{name}_wavelength"] = axes[:1], np.float32(centres), {"units": "nm"}
    netcdf(tmp_path / "a.nc", variables, dims)
    scene = read_scene(tmp_path / "a.nc")
    np.testing.assert_allclose(scene.wavelengths, [400, 500, 605, 700, 940, 2258])
    np.testing.assert_array_equal(scene.cube[:, :, 3], arrays["red"][1])
    assert read_scene(tmp_path / "a.nc", cube="rhot_red").bands == 2


def test_pace_level_2(tmp_path):
    """NASA, PACE OCI surface reflectance: geophysical_data/rhos (lines, pixels, wavelength_3d), l2_flags."""
    cube = RNG.random((H, W, 4)).astype("float32")
    waves = np.float32([400, 500, 600, 700])
    axes = ("number_of_lines", "pixels_per_line", "wavelength_3d")
    netcdf(
        tmp_path / "a.nc",
        {
            "geophysical_data/rhos": (axes, cube, {}),
            "geophysical_data/rhos_uncert": (axes, cube * 0.1, {}),
            "sensor_band_parameters/wavelength_3d": (axes[2:], waves, {"units": "nm"}),
        },
        dict(zip(axes, cube.shape, strict=True)),
    )
    scene = read_scene(tmp_path / "a.nc")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_allclose(scene.wavelengths, waves)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"CDF\x05" + bytes(60), "version 5"), (b"not netCDF at all", "not a netCDF file"), (b"CDF\x01\0", "truncated")],
)
def test_bad_netcdf(tmp_path, content, message):
    (tmp_path / "a.nc").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_scene(tmp_path / "a.nc")


ENMAP = "ENMAP01-____L2A-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z"
DESIS = "DESIS-HSI-L2A-DT1203190212_025-20191203T021128-V0210"


def product(folder, *, desis=False, bands=5, described=None, level1=False):
    """EN-PCV-ICD-2009 (EnMAP) and the DESIS Products Specification: SPECTRAL_IMAGE, METADATA.XML, quality layers."""
    start = DESIS if desis else ENMAP
    cube = numbers((H, W, bands), "int16")
    cube[0, 0] = -32768
    folder.mkdir(parents=True)
    names = {"SPECTRAL_IMAGE": cube, "QL_QUALITY_CLASSES": cube[:, :, :1] * 0, "QL_QUALITY_CLOUD": cube[:, :, :1] * 0}
    for name, array in names.items():
        profile = {"driver": "GTiff", "height": H, "width": W, "count": array.shape[2], "dtype": "int16"}
        where = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 30, 30)}
        with rasterio.open(folder / f"{start}-{name}.{'tif' if desis else 'TIF'}", "w", **profile, **where) as file:
            file.write(array.transpose(2, 0, 1))
    waves = 500.0 + 10 * np.arange(described or bands)
    if desis:
        entries = [
            f"<band><bandNumber>{n + 1}</bandNumber><wavelengthCenterOfBand>{w}</wavelengthCenterOfBand>"
            "<wavelengthWidthOfBand>3</wavelengthWidthOfBand><gainOfBand>0.0001</gainOfBand>"
            "<offsetOfBand>0</offsetOfBand></band>"
            for n, w in enumerate(waves)
        ]
    else:
        gains = 0.01 * (1 + np.arange(len(waves))) if level1 else np.full(len(waves), 0.0001)
        entries = [
            f'<bandID number="{n + 1}"><wavelengthCenterOfBand>{w}</wavelengthCenterOfBand><FWHMOfBand>7</FWHMOfBand>'
            f"<GainOfBand>{g}</GainOfBand><OffsetOfBand>0</OffsetOfBand></bandID>"
            for n, (w, g) in enumerate(zip(waves, gains, strict=True))
        ]
    (folder / f"{start}-METADATA.{'xml' if desis else 'XML'}").write_text(
        '<?xml version="1.0"?><level_X xmlns="http://example.invalid/x"><specific><backgroundValue>-32768'
        f"</backgroundValue><bandCharacterisation>{''.join(entries)}</bandCharacterisation></specific></level_X>"
    )
    return cube, waves, start


def test_gains_of_each_band(tmp_path):
    cube, _, _ = product(tmp_path / "a", level1=True)
    scene = read_scene(tmp_path / "a")
    np.testing.assert_allclose(scene.cube[1:], cube[1:] * 0.01 * (1 + np.arange(5)), rtol=1e-5)


@pytest.mark.parametrize("desis", [False, True])
def test_product_folder_metadata_or_image(tmp_path, desis):
    cube, waves, start = product(tmp_path / "a", desis=desis)
    suffixes = ("tif", "xml") if desis else ("TIF", "XML")
    names = [f"{start}-SPECTRAL_IMAGE.{suffixes[0]}", f"{start}-METADATA.{suffixes[1]}"]
    for path in (tmp_path / "a", tmp_path, *(tmp_path / "a" / name for name in names)):
        scene = read_scene(path)
        np.testing.assert_allclose(scene.cube[1:], cube[1:] / 10000, rtol=1e-5)
        np.testing.assert_allclose(scene.wavelengths, waves)
        assert scene.labels is None
        assert not scene.mask[0, 0]
        assert scene.georeference["crs"] == CRS.from_epsg(32632)


def test_metadata_of_another_number_of_bands_is_not_used(tmp_path, caplog):
    caplog.set_level("INFO", "sslhsi")
    product(tmp_path / "a", described=7)
    assert read_scene(tmp_path / "a").wavelengths is None
    assert "describes 7 bands, the image has 5" in caplog.text
    assert "QL_QUALITY_CLOUD.TIF" in caplog.text


def test_two_products_in_one_folder(tmp_path):
    product(tmp_path / "a")
    product(tmp_path / "b", desis=True)
    with pytest.raises(InputError, match=r"several images .*SPECTRAL_IMAGE"):
        read_scene(tmp_path)


def test_folders_of_products_in_a_recipe(tmp_path):
    for name, desis in (("a", False), ("b", True)):
        product(tmp_path / name, desis=desis)
    for pattern in (tmp_path, tmp_path / "*"):
        scenes = expand([SceneSource(path=str(pattern))])
        assert [s.name for s in scenes] == [f"{start}-SPECTRAL_IMAGE" for start in (ENMAP, DESIS)]
    inside = scene_files(str(tmp_path / "a"))
    assert [file.name for file in inside.files] == [f"{ENMAP}-SPECTRAL_IMAGE.TIF"]
    assert ("QL_QUALITY_CLOUD.TIF", True) in {(str(p)[-20:], "a layer" in why) for p, why in inside.skipped}


def test_the_hash_knows_the_metadata(tmp_path):
    product(tmp_path / "a")
    (source,) = expand([SceneSource(path=str(tmp_path / "a"))])
    before = source_hash(source, 0)
    document = next((tmp_path / "a").glob("*METADATA.XML"))
    document.write_text(document.read_text().replace("510.0", "511.0"))
    assert source_hash(source, 0) != before
