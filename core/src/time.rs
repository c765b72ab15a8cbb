//! stub
pub struct E;
/// t
pub fn timeout<F: std::future::Future + 'static>(_d: std::time::Duration, f: F) -> std::pin::Pin<Box<dyn std::future::Future<Output = Result<F::Output, ()>>>> { Box::pin(async move { Ok(f.await) }) }
