//! Serves a directory without Node, for profiling: `serve DIR PORT [CORES]`. RINGWHEEL_DRIVER=uring|poll insists on a driver.
use ringwheel_fileserver::{Cores, DriverKind, Options, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().ok_or("usage: serve DIR [PORT] [CORES]")?;
    let port = arguments.next().map_or(Ok(8080), |text| text.parse())?;
    let cores = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let driver = match std::env::var("RINGWHEEL_DRIVER").as_deref() {
        Ok("uring") => Some(DriverKind::Uring),
        Ok("poll") => Some(DriverKind::Poll),
        _ => None,
    };
    let server = Server::start(Options { port, cores: Cores::Count(cores), driver, ..Options::new(root) })?;
    println!("http://{} {:?} {:?}", server.local_address(), server.driver(), server.features());
    std::thread::sleep(std::time::Duration::MAX);
    Ok(())
}
