//! A bare wgpu device that runs cases, and times them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use clinlora_shaders::Access;
use clinlora_shaders::cases::{Buffer, Case, compare, read_floats};
use wgpu::{BufferUsages, PollType};

/// The device and its queue.
pub(crate) struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

/// Processor time of this process on Linux, which other programs do not disturb and which an adapter in software spends;
/// time on the wall elsewhere.
struct Clock(Instant, Option<Duration>);

impl Clock {
    fn now() -> Self {
        Self(Instant::now(), Self::processor())
    }

    fn processor() -> Option<Duration> {
        let tasks = std::fs::read_dir("/proc/self/task").ok()?;
        let nanoseconds = |task: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        Some(Duration::from_nanos(tasks.filter_map(nanoseconds).sum()))
    }

    fn elapsed(&self) -> Duration {
        match (self.1, Self::processor()) {
            (Some(start), Some(now)) => now.saturating_sub(start),
            _ => self.0.elapsed(),
        }
    }
}

/// Waits for a future of wgpu's, which natively are ready at once or with the next poll of the device.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        std::thread::yield_now();
    }
}

impl Gpu {
    /// A Vulkan device, with f16 if it has it.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn new() -> Self {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN;
        let instance = wgpu::Instance::new(descriptor);
        let adapter = ready(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))
            .expect("a Vulkan adapter: install Debian's mesa-vulkan-drivers or the like");
        println!("adapter: {:?}", adapter.get_info().name);
        let f16 = adapter.features() & wgpu::Features::SHADER_F16;
        let device = wgpu::DeviceDescriptor { required_features: f16, ..Default::default() };
        let (device, queue) = ready(adapter.request_device(&device)).expect("a device with default limits");
        Self { device, queue }
    }

    /// Whether f16 shaders run.
    pub(crate) fn has_f16(&self) -> bool {
        self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    fn buffer(&self, bytes: &[u8], usage: BufferUsages) -> wgpu::Buffer {
        let size = bytes.len().next_multiple_of(16).max(32) as u64;
        let usage = usage | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// A pipeline and its bindings, ready to be dispatched.
    fn prepare(
        &self,
        name: &str,
        source: &str,
        buffers: &[wgpu::Buffer],
    ) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            // As Burn compiles them: each kernel writes workgroup memory before it reads it.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        if let Some(error) = ready(scope.pop()) {
            panic!("{name}: {error}");
        }
        (pipeline, group)
    }

    fn buffers(&self, case: &Case) -> Vec<wgpu::Buffer> {
        let shader = case.launch.shader;
        assert_eq!(shader.bindings.len(), case.buffers.len() + 1, "{}: buffers of its case", shader.name);
        let mut buffers: Vec<_> = case
            .buffers
            .iter()
            .zip(shader.bindings)
            .map(|(buffer, binding)| {
                let is_output = matches!(buffer, Buffer::Output { .. });
                assert_eq!(
                    is_output,
                    binding.access == Access::ReadWrite,
                    "{}.{}",
                    shader.name,
                    binding.name
                );
                self.buffer(&buffer.initial(), BufferUsages::STORAGE)
            })
            .collect();
        let params: Vec<u8> = case.launch.params.iter().flat_map(|word| word.to_le_bytes()).collect();
        buffers.push(self.buffer(&params, BufferUsages::UNIFORM));
        buffers
    }

    fn dispatch(&self, [x, y, z]: [u32; 3], pipeline: &wgpu::ComputePipeline, group: &wgpu::BindGroup) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(x, y, z);
        drop(pass);
        self.queue.submit([encoder.finish()]);
    }

    fn wait(&self) {
        self.device.poll(PollType::wait_indefinitely()).expect("the device answers");
    }

    fn read(&self, buffer: &wgpu::Buffer) -> Vec<u8> {
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        let size = buffer.size();
        let copy = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let copy = self.device.create_buffer(&copy);
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, size);
        self.queue.submit([encoder.finish()]);
        copy.slice(..).map_async(wgpu::MapMode::Read, |result| result.expect("the buffer can be mapped"));
        self.wait();
        copy.slice(..).get_mapped_range().expect("it is mapped").to_vec()
    }

    /// Runs a case; returns the largest difference from its twin.
    pub(crate) fn check(&self, case: &Case) -> Result<f32, String> {
        let buffers = self.buffers(case);
        let shader = case.launch.shader;
        let (pipeline, group) = self.prepare(shader.name, &shader.source(), &buffers);
        self.dispatch(case.launch.groups, &pipeline, &group);
        let mut worst = 0.0_f32;
        for (buffer, case_buffer) in buffers.iter().zip(&case.buffers) {
            if let Buffer::Output { expected, elem } = case_buffer {
                let actual = read_floats(&self.read(buffer), *elem);
                worst = worst.max(compare(expected, &actual, case.tolerance)?);
            }
        }
        Ok(worst)
    }

    /// Median time (see [`Clock`]) of one dispatch of a case, over `runs`, without compiling and copying.
    pub(crate) fn time(&self, case: &Case, runs: usize) -> Duration {
        let shader = case.launch.shader;
        let buffers = self.buffers(case);
        let prepared = self.prepare(shader.name, &shader.source(), &buffers);
        self.time_prepared(case.launch.groups, &prepared, runs)
    }

    /// Median time (see [`Clock`]) of the plain product of dense f32 matrices, sizes multiples of 32.
    pub(crate) fn time_plain(&self, [rows, cols, inner]: [u32; 3], runs: usize) -> Duration {
        let floats = |count: u32| vec![0x3f; 4 * count as usize];
        let mut buffers = [rows * inner, cols * inner, rows * cols]
            .map(|count| self.buffer(&floats(count), BufferUsages::STORAGE))
            .to_vec();
        let params: Vec<u8> =
            [rows, cols, inner, 0].iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        buffers.push(self.buffer(&params, BufferUsages::UNIFORM));
        let prepared = self.prepare("plain_gemm", include_str!("plain_gemm.wgsl"), &buffers);
        self.time_prepared([cols / 32, rows / 32, 1], &prepared, runs)
    }

    fn time_prepared(
        &self,
        groups: [u32; 3],
        (pipeline, group): &(wgpu::ComputePipeline, wgpu::BindGroup),
        runs: usize,
    ) -> Duration {
        self.dispatch(groups, pipeline, group);
        self.wait();
        let mut times: Vec<Duration> = (0..runs)
            .map(|_| {
                let start = Clock::now();
                self.dispatch(groups, pipeline, group);
                self.wait();
                start.elapsed()
            })
            .collect();
        times.sort();
        times[runs / 2]
    }
}
