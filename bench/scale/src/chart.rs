use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::measure::Measured;

/// Draws what was measured, each figure by instance: a flat line is linear work.
pub(crate) fn draw(all: &[Measured], path: &str) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = Path::new(path).parent() {
        std::fs::create_dir_all(folder)?;
    }
    let per_instance = |figure: fn(&Measured) -> f64| -> Vec<(f64, f64)> {
        all.iter().map(|it| (it.instances as f64, 1_000.0 * figure(it) / it.instances as f64)).collect()
    };
    let lines = [
        ("planning: µs", BLUE, per_instance(|it| it.plan_ms)),
        ("an up without changes: µs", RED, per_instance(|it| it.no_change_ms)),
        ("its peak memory: KiB", GREEN, per_instance(|it| it.peak_mib * 1.024)),
    ];
    let most =
        |points: fn(&(f64, f64)) -> f64| lines.iter().flat_map(|(.., line)| line).map(points).fold(0.0, f64::max);
    let area = SVGBackend::new(path, (800, 500)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Work for each instance, by the size of the platform", ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..most(|(x, _)| *x) * 1.05, 0.0..most(|(_, y)| *y) * 1.2)?;
    chart.configure_mesh().x_desc("instances").y_desc("for each instance").draw()?;
    for (name, colour, points) in lines {
        let drawn = chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        drawn.label(name).legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], colour));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
