//! All that hyper 1.x asks of a runtime: users of twoply have it as `twoply::hyper`, by the feature `hyper`.
//!
//! | hyper asks for | here |
//! |---|---|
//! | `rt::Executor` | [`Executor`], over any spawner |
//! | `rt::Timer`, `rt::Sleep` | [`Timer`] |
//! | `rt::Read`, `rt::Write` | [`Io`], over our streams; it reads into memory that nobody has initialized |
//! | the same, of other streams | [`ForeignIo`], over those of futures-io; [`FuturesIo`] is the way back |
//! | a connector of `hyper_util`'s client, which keeps a pool | [`Connector`] |
//! | an accept loop | [`serve`], for HTTP/1 and HTTP/2, with upgrades and a graceful end; [`serve_with`] inside TLS |
//!
//! A handler runs on a task of ours, so it may call `.wait()`: on green tasks and on fibers the worker goes
//! on with others, on native tasks the connection has a thread of its own.
//!
//! # Examples
//! A server and a client:
//! ```
//! use std::convert::Infallible;
//!
//! use http_body_util::{BodyExt, Empty, Full};
//! use hyper::body::{Bytes, Incoming};
//! use hyper::{Request, Response, service::service_fn};
//! use hyper_util::client::legacy::Client;
//! use twoply::hyper::{Connector, Executor, Timer, serve};
//! use twoply::{Wait, channel, net::TcpListener, spawn};
//!
//! async fn greet(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     Ok(Response::new(Full::from(format!("hello, {}", &request.uri().path()[1..]))))
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0").wait()?;
//! let address = listener.local_addr()?;
//! let (stop, stopped) = channel::oneshot::<()>();
//! let server = spawn(serve(listener, service_fn(greet), stopped));
//!
//! let client = Client::builder(Executor::new()).pool_timer(Timer).build::<_, Empty<Bytes>>(Connector::new());
//! let answer = async {
//!     let answer = client.get(format!("http://{address}/world").parse()?).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(answer.into_body().collect().await?.to_bytes())
//! };
//! assert_eq!(answer.wait()?, "hello, world");
//!
//! drop((client, stop));
//! server.wait()??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod foreign;
mod io;
mod rt;
mod server;
mod write;

pub use client::Connector;
pub use foreign::{ForeignIo, FuturesIo};
pub use io::Io;
pub use rt::{Executor, Timer};
pub use server::{serve, serve_with};
